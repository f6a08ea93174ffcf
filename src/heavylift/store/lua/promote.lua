#!lua
-- promote: run a delayed job now: it goes to the end of its line.
--
-- keys: meta line delayed blocked expiring purge idle ring held
-- args: id:str
-- reply: 1, or 0 if there is no such job or it is not delayed
-- include: meta unique lines wake flow withdraw

read_meta()
local jobs = survey({ id })
if not jobs then
  return MOVING
end
local job = jobs[id]
if not job or job.state ~= 'delayed' then
  return 0
end
call('ZREM', delayed_key, id) -- it may still expire: `expiring` keeps it
queue_up(id, job)
line_up()
keep_meta()
if not paused then wake(1) end
return 1
