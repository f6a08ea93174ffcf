#!lua
-- replay: dead letters get another life: back in line with fresh counters, without their expiry. One whose unique key
-- another job holds is left; else it takes the key again, unless somebody's window is open.
--
-- keys: meta line delayed blocked expiring failed purge idle ring held
-- args: rest
-- rest: ids
-- reply: one letter per id: o (ok), n (not a dead letter), g (gone), h (its unique key is held by another job)
-- include: meta unique lines wake withdraw

-- Whether a job stands in the way of this one, and whether the key is free. A window is about enqueueing alone.
local function held_by(said)
  local holder = holder_of(said)
  return holder and holder.mode ~= 'w', not holder
end

read_meta()
local ids = {}
for at = REST, #ARGV do
  ids[#ids + 1] = ARGV[at]
end
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
  elseif job.state ~= 'failed' then
    letters[i] = 'n'
  elseif job.unique and held_by(job.unique) then
    letters[i] = 'h'
  else
    withdraw(id, job)
    if job.unique and select(2, held_by(job.unique)) then
      take_unique(id, job.unique, integer(call('HGET', job_key(id), 'starts')) or 0)
    end
    call('HDEL', job_key(id), 'attempts', 'crashes', 'interruptions', 'unknown', 'reason', 'finished_at', 'expires',
      'cancel', 'progress')
    queue_up(id, job)
    job.state = 'waiting'
    letters[i] = 'o'
    waiting = waiting + 1
  end
end
line_up()
keep_meta()
if not paused then wake(waiting) end
return table.concat(letters)
