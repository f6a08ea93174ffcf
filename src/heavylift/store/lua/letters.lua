#!lua flags=no-writes
-- letters: a page of the dead letters, with what they are chosen by.
--
-- The next page begins after the last letter of the one before, by the time it ended and its id: letters that went
-- away or came meanwhile move nothing.
--
-- keys: meta failed
-- args: after:str from:str to:str newest:int count:int whole_jobs:int max_bytes:int
-- after: "<ended> <id>" of the last letter of the page before, or ""
-- from, to: only those that ended then (ms, both inclusive, or -inf, +inf); newest: 1 for the latest first
-- whole_jobs: 1 to give envelope and last attempt too; max_bytes: a soft bound of these
-- reply: how many ended between from and to, then per letter  id  ended  handler  reason  cause  fingerprint  envelope
--        last attempt  ("" where there is none)
-- include:

-- Whether `a` comes before `b` among members of one score: by their bytes, whatever the server's locale says.
local function precedes(a, b)
  for i = 1, math.min(#a, #b) do
    local left, right = string.byte(a, i), string.byte(b, i)
    if left ~= right then
      return left < right
    end
  end
  return #a < #b
end

-- How many letters come before the one given, or before and with it, whether it is still there or not.
local function count_before(ended, id, with_it)
  local low, high = call('ZCOUNT', failed_key, '-inf', '(' .. ended), call('ZCOUNT', failed_key, '-inf', ended)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local there = call('ZRANGE', failed_key, middle, middle)[1]
    if precedes(there, id) or (with_it and there == id) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

local first = call('ZCOUNT', failed_key, '-inf', '(' .. from)
local last = call('ZCOUNT', failed_key, '-inf', to) - 1
local reply = { math.max(0, last - first + 1) }
local ended, last_id = string.match(after, '^(%d+) (.+)$')
if ended and newest == 1 then
  last = math.min(last, count_before(ended, last_id, false) - 1)
elseif ended then
  first = math.max(first, count_before(ended, last_id, true))
end
if newest == 1 then
  first = math.max(first, last - count + 1)
else
  last = math.min(last, first + count - 1)
end
if first > last then
  return reply
end

local found = call('ZRANGE', failed_key, first, last, 'WITHSCORES')
local ids, ends, names = {}, {}, {}
for i = 1, #found, 2 do
  local at = newest == 1 and (#found - i + 1) / 2 or (i + 1) / 2
  ids[at], ends[at], names[at] = found[i], found[i + 1], job_key(found[i])
end
if not here(names) then
  return MOVING
end
local bytes = 0
for i, id in ipairs(ids) do
  local job = read_hash(names[i], 'handler', 'reason', 'cause', 'fingerprint', 'starts')
  if job.err then job = {} end
  local spec, record
  if whole_jobs == 1 and job[1] ~= nil then
    local more = call('HMGET', names[i], 'spec', 'attempt:' .. (job[5] or ''))
    spec, record = more[1], more[2]
    bytes = bytes + #(spec or '') + #(record or '')
  end
  for _, value in ipairs({ id, whole(ends[i]), job[1] or '', job[2] or '', job[3] or '', job[4] or '', spec or '',
    record or '' }) do
    reply[#reply + 1] = value
  end
  if bytes > max_bytes then break end
end
return reply
