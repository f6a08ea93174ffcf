#!lua flags=allow-oom
-- cancel: a job that nobody runs is cancelled at once; one that runs is asked to stop, and so is its worker.
--
-- keys: meta line delayed blocked expiring cancelled failed purge outbox ring held
-- args: id:str
-- reply: the state it was in, and what was done: cancelled | asked | ended; nothing if there is no such job
-- include: meta unique lines ending flow withdraw

read_meta()
local job, answer = single(id)
if not job then
  return answer
end
if ENDED[job.state] then
  return { job.state, 'ended' }
end
if job.state == 'active' then
  call('HSET', job_key(id), 'cancel', '1')
  if job.worker then call('PUBLISH', prefix .. ':worker:' .. job.worker, 'cancel ' .. queue .. ' ' .. id) end
  return { job.state, 'asked' }
end
end_job(id, 'cancelled', '', job.keep, job.unique)
withdraw(id, job)
keep_meta()
return { job.state, 'cancelled' }
