#!lua flags=no-writes
-- counts: how many jobs of the queue are in each state.
--
-- keys: meta line delayed blocked locks completed failed cancelled ring
-- args:
-- reply: waiting delayed blocked active completed failed cancelled, paused (0 | 1), ms the first in line has waited (-1)
-- include: rank

local meta = call('HMGET', meta_key, 'paused', 'mode', 'waiting', 'step')
local waiting = call('ZCARD', line_key)
local head = call('ZRANGE', line_key, 0, 0, 'WITHSCORES')

local age = -1
if head[1] then
  local priority = tonumber(call('HGET', job_key(head[1]), 'prio')) or 0
  age = math.max(0, math.floor((now_us - tonumber(head[2]) + priority * step_of(meta[4])) / 1000))
end
return {
  waiting, call('ZCARD', delayed_key), call('ZCARD', blocked_key), call('ZCARD', locks_key), call('ZCARD', completed_key),
  call('ZCARD', failed_key), call('ZCARD', cancelled_key), meta[1] and 1 or 0, age,
}
