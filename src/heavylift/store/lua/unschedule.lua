#!lua flags=allow-oom
-- unschedule: delete a schedule. Jobs it has made stay.
--
-- keys: meta schedules
-- args: name:str rev:str
-- rev: only under this revision; "" whatever it is
-- reply: 1, or 0 if there is none
-- include: schedule

local key = schedule_of(name)
if not here({ key }) then
  return MOVING
end
if rev ~= '' and call('HGET', key, 'rev') ~= rev then
  return 0
end
call('ZREM', schedules_key, name)
return call('UNLINK', key)
