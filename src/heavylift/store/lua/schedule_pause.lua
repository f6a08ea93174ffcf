#!lua flags=allow-oom
-- schedule_pause: a schedule is not fired any more, or again.
--
-- keys: meta schedules
-- args: name:str rev:str next:str
-- rev: the revision that `next` was reckoned from; next: "" to pause, else the tick (ms, or inf) to go on with
-- reply: 1, 0 if it was so, -1 if there is no such schedule, or not of that revision
-- include: schedule

local key = schedule_of(name)
if not here({ key }) then
  return MOVING
end
local said = call('HMGET', key, 'rev', 'paused')
if not said[1] or (next ~= '' and said[1] ~= rev) then
  return -1
end
local to_pause = next == ''
if to_pause == (said[2] ~= false) then
  return 0
end
if to_pause then
  call('HSET', key, 'paused', '1')
else
  call('HDEL', key, 'paused')
end
call('ZADD', schedules_key, to_pause and 'inf' or next, name)
return 1
