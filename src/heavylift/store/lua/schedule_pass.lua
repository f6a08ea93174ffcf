#!lua flags=allow-oom
-- schedule_pass: a tick passes without a job.
--
-- keys: meta schedules
-- args: name:str rev:str tick:str next:str
-- reply: 1, or 0 if that is not its next tick any more
-- include: schedule

if not here({ schedule_of(name) }) then
  return MOVING
end
if not is_next(name, tick, rev) then
  return 0
end
call('ZADD', schedules_key, next, name)
call('HINCRBY', schedule_of(name), 'skipped', 1)
return 1
