#!lua
-- reschedule: a job that waits or is delayed becomes due at another time; if that has come, it is in line at once.
--
-- keys: meta line delayed blocked expiring completed failed cancelled purge idle ring held
-- args: id:str due:int relative:int nonce:str
-- due: ms since 1970, or from now if relative is 1: then a repetition, which the nonce tells, moves it no further
-- reply: the state it was in, the state it is in, when it is due (ms, -1 if it is not delayed); nothing if there is no
--        such job. A job in another state stays as it is.
-- include: meta unique lines wake flow withdraw

read_meta()
local job, answer = single(id)
if not job then
  return answer
end
local was = job.state
if relative == 1 then
  if nonce ~= '' and call('HGET', job_key(id), 'rescheduled') == nonce then
    return { was, was, was == 'delayed' and integer(job.due) or -1 }
  end
  due = now + due
end
if was ~= 'waiting' and was ~= 'delayed' then
  return { was, was, -1 }
end
if due <= now and was == 'waiting' then
  return { was, was, -1 }
end
if due <= now then
  call('ZREM', delayed_key, id)
  queue_up(id, job)
  line_up()
  keep_meta()
  if not paused then wake(1) end
  return { was, 'waiting', -1 }
end
publish(id, 'delayed', ',"due":' .. whole(due))
if was == 'waiting' then
  leave(job.path, id)
  keep_meta()
end
local first = is_first_due(due)
call('HSET', job_key(id), 'state', 'delayed', 'due', whole(due))
if relative == 1 and nonce ~= '' then call('HSET', job_key(id), 'rescheduled', nonce) end
call('ZADD', delayed_key, whole(due), id)
if first and not paused then wake(1) end -- the sleepers have planned without it
return { was, 'delayed', due }
