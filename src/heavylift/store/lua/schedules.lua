#!lua flags=no-writes
-- schedules: schedules of the queue in the order of their next ticks, or those that are named.
--
-- keys: meta schedules
-- args: due:int offset:int limit:int max_bytes:int rest
-- due: 1 for those only whose tick has come; offset, limit: which of them; max_bytes: a soft bound of the reply
-- rest: names; if there are any, those are given instead, as far as they exist
-- reply: now, the next tick of all that is to come ("inf" if there is none), then per schedule its name, its tick
--        ("inf": none) and its hash, a list of fields and values (empty if it cannot be read)
-- include: schedule

local first = call('ZRANGEBYSCORE', schedules_key, '(' .. now_text, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local reply = { now, whole(tonumber(first[2] or 'inf')) }

local found = {}
for at = REST, #ARGV do
  local tick = call('ZSCORE', schedules_key, ARGV[at])
  if tick then also(found, ARGV[at], tick) end
end
if #ARGV < REST then
  found = call('ZRANGEBYSCORE', schedules_key, '-inf', due == 1 and now_text or '+inf', 'WITHSCORES', 'LIMIT', offset,
    limit)
end

local names = {}
for i = 1, #found, 2 do
  names[#names + 1] = schedule_of(found[i])
end
if not here(names) then
  return MOVING
end
local bytes = 0
for i, key in ipairs(names) do
  local said = redis.pcall('HGETALL', key)
  if said.err then said = {} end -- it counts among those that were looked at
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = found[2 * i - 1], whole(tonumber(found[2 * i])), said
  for _, value in ipairs(said) do
    bytes = bytes + #value
  end
  if bytes > max_bytes then break end
end
return reply
