-- Ended jobs get another life: fresh counters, no expiry, and their unique key again if nobody else has it.

-- Whether a job stands in the way of this one, and whether the key is free. A window is about enqueueing alone.
local function held_by(said)
  local holder = holder_of(said)
  return holder and holder.mode ~= 'w', not holder
end

-- With another envelope, if one is given: then the first one is kept beside it.
local function relive(id, job, envelope, nonce)
  local name = job_key(id)
  withdraw(id, job)
  if job.unique and select(2, held_by(job.unique)) then
    take_unique(id, job.unique, integer(call('HGET', job_key(id), 'starts')) or 0)
  end
  call('HDEL', name, 'attempts', 'crashes', 'interruptions', 'unknown', 'unbegun', 'overcome', 'reason', 'cause',
    'fingerprint', 'finished_at', 'expires', 'cancel', 'progress', 'blame', 'result', 'latest', 'replaced')
  if envelope then
    local own = call('HGET', name, 'spec')
    if own then call('HSETNX', name, 'original', own) end
    call('HSET', name, 'spec', envelope)
  end
  if envelope or job.state == 'completed' then call('HDEL', name, 'checkpoint') end
  if nonce then call('HSET', name, 'replayed', nonce) end
  queue_up(id, job)
end

-- All of these that `may`; one letter per id: o (ok), b (ok, and it waits for parents), n (it may not), g (gone), h (its
-- unique key is another's). `envelopes`: for each of them, "" for its own; none: so for all. `nonce`: of this call, by
-- which a repetition is known, also once the job has ended again; "" for none.
local function relive_all(ids, may, envelopes, nonce)
  nonce = nonce ~= '' and nonce or nil
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
    elseif nonce and call('HGET', job_key(id), 'replayed') == nonce then
      letters[i] = job.state == 'blocked' and 'b' or 'o'
    elseif not may(job) then
      letters[i] = 'n'
    elseif job.unique and held_by(job.unique) then
      letters[i] = 'h'
    else
      relive(id, job, envelopes and envelopes[i] ~= '' and envelopes[i], nonce)
      letters[i] = job.state == 'blocked' and 'b' or 'o'
      if job.state == 'waiting' then waiting = waiting + 1 end
    end
  end
  line_up()
  keep_meta()
  if not paused then wake(waiting) end
  return table.concat(letters)
end
