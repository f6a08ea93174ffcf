-- Ended jobs get another life: fresh counters, no expiry, and their unique key again if nobody else has it.

-- Whether a job stands in the way of this one, and whether the key is free. A window is about enqueueing alone.
local function held_by(said)
  local holder = holder_of(said)
  return holder and holder.mode ~= 'w', not holder
end

local function relive(id, job)
  withdraw(id, job)
  if job.unique and select(2, held_by(job.unique)) then
    take_unique(id, job.unique, integer(call('HGET', job_key(id), 'starts')) or 0)
  end
  call('HDEL', job_key(id), 'attempts', 'crashes', 'interruptions', 'unknown', 'reason', 'finished_at', 'expires',
    'cancel', 'progress', 'blame')
  queue_up(id, job)
  job.state = 'waiting'
end

-- All of these that `may`; one letter per id: o (ok), n (it may not), g (gone), h (its unique key is another's).
local function relive_all(ids, may)
  read_meta()
  local jobs = survey(ids)
  if not jobs then
    return MOVING
  end
  local uniques, holders = {}, {}
  for _, job in pairs(jobs) do
    if job and job.unique then uniques[#uniques + 1] = unique_name(job.unique) end
  end
  need_holders(holders, uniques)
  if not here(holders) then
    return MOVING
  end
  local letters, waiting = {}, 0
  for i, id in ipairs(ids) do
    local job = jobs[id]
    if not job then
      letters[i] = 'g'
    elseif not may(job) then
      letters[i] = 'n'
    elseif job.unique and held_by(job.unique) then
      letters[i] = 'h'
    else
      relive(id, job)
      letters[i] = 'o'
      waiting = waiting + 1
    end
  end
  line_up()
  keep_meta()
  if not paused then wake(waiting) end
  return table.concat(letters)
end
