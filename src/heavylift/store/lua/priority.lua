#!lua
-- priority: a job that has not been started gets another priority; one in line keeps the time it got ready.
--
-- keys: meta line delayed blocked expiring completed failed cancelled purge ring held
-- args: id:str prio:int
-- reply: its state, the priority it had, whether it could be changed (0 | 1); nothing if there is no such job
-- include: meta unique lines flow withdraw

read_meta()
local job, answer = single(id)
if not job then
  return answer
end
local was = integer(job.prio) or 0
if job.state ~= 'waiting' and job.state ~= 'delayed' and job.state ~= 'blocked' then
  return { job.state, was, 0 }
end
if prio == 0 then
  call('HDEL', job_key(id), 'prio')
else
  call('HSET', job_key(id), 'prio', whole(prio))
end
local rank = job.state == 'waiting' and call('ZSCORE', line_of(job.path), id)
if rank then
  call('ZADD', line_of(job.path), whole(tonumber(rank) + (prio - was) * step), id)
  if by_lines then admit(job.path) end
end
return { job.state, was, 1 }
