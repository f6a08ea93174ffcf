#!lua flags=no-writes
-- counts: how many jobs of the queue are in each state.
--
-- keys: meta line delayed blocked locks completed failed cancelled ring held
-- args:
-- reply: waiting delayed blocked active completed failed cancelled, paused (0 | 1), ms the first in line has waited (-1),
--        ms until the next delayed job is due (-1), ms that a handler has the queue rest for (0)
-- include: meta lines

read_meta()
local waiting = call('ZCARD', line_key) + (tonumber(call('HGET', meta_key, 'lined')) or 0)

local line = line_key
if by_lines then
  local group = call('ZRANGE', ring_key, 0, 0)[1]
  local path = group and here({ ring_of(group) }) and call('ZRANGE', ring_of(group), 0, 0)[1]
  if path and call('EXISTS', line_key) == 0 and here({ line_of(path) }) then line = line_of(path) end
end
local head = call('ZRANGE', line, 0, 0, 'WITHSCORES')
local age = -1
if head[1] and here({ job_key(head[1]) }) then
  local priority = integer(read_hash(job_key(head[1]), 'prio')[1]) or 0
  age = math.max(0, math.floor((now_us - tonumber(head[2]) + priority * step) / 1000))
end
local first = call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
local next_due = first[1] and math.max(0, tonumber(first[2]) - now) or -1
return {
  waiting, call('ZCARD', delayed_key), call('ZCARD', blocked_key), call('ZCARD', locks_key), call('ZCARD', completed_key),
  call('ZCARD', failed_key), call('ZCARD', cancelled_key), call('HEXISTS', meta_key, 'paused'), age, next_due,
  held_until and held_until - now or 0,
}
