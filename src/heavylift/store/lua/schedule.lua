#!lua
-- schedule: write a schedule, or change it. It stays paused if it was, keeps what it has counted and, as long as its
-- times stay the same, its next tick. A declaration that was written before changes nothing again: what was said by
-- hand since then stays.
--
-- keys: meta schedules
-- args: name:str declared:str times:str next:str rest
-- declared: "" by hand, else what tells the declaration; times: JSON; next: the first tick (ms), "inf" if there is none
-- rest: further fields of its hash, each with its value
-- reply: 1, or 0 if it was declared before
-- include: schedule

local key = schedule_of(name)
if not here({ key }) then
  return MOVING
end
local before = call('HMGET', key, 'times', 'declared', 'paused')
if declared ~= '' and before[2] == declared then
  return 0
end
call('HSET', key, 'times', times, unpack(ARGV, REST))
if declared ~= '' then call('HSET', key, 'declared', declared) end
if before[3] then next = 'inf' end
if before[3] or before[1] ~= times or not call('ZSCORE', schedules_key, name) then
  call('ZADD', schedules_key, next, name)
end
return 1
