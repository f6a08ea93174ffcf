#!lua
-- replay: dead letters get another life: back in line with fresh counters, without their expiry.
--
-- keys: meta line delayed blocked expiring failed purge idle ring held
-- args: rest
-- rest: ids
-- reply: one letter per id: o (ok), n (not a dead letter), g (gone)
-- include: meta lines wake withdraw

read_meta()
local ids = {}
for at = REST, #ARGV do
  ids[#ids + 1] = ARGV[at]
end
local jobs = survey(ids)
if not jobs then
  return MOVING
end

local letters, waiting = {}, 0
for i, id in ipairs(ids) do
  local job = jobs[id]
  if not job then
    letters[i] = 'g'
  elseif job.state ~= 'failed' then
    letters[i] = 'n'
  else
    withdraw(id, job)
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
