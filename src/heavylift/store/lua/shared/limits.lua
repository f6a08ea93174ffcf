-- include: meta
--
-- What may run: the limits of groups and of their keys, how many run, and how many may be started by now.
--
-- Rates are smooth (GCRA): each limited place has one theoretical arrival time in `tat` (us), when its next token would
-- be there if all were taken one by one. Up to `burst` tokens may be ahead of time. A place that is not in `tat` has
-- all of them, so whatever is in the past can go.

local gate_key, tat_key, vt_key = base .. 'gate', base .. 'tat', base .. 'vt'

local CLEANED = 300 -- entries out of date that one call removes: more than it can add

local function group_of(path)
  return string.match(path, '^[^/]*')
end

local function has_key(path)
  return path ~= '' and string.sub(path, -1) ~= '/'
end

-- "count period burst" (period in ms) as us between two tokens, and the most that `tat` may be ahead.
local function read_rate(text)
  local count, period, burst = string.match(text or '', '^(%d+) (%d+) (%d+)$')
  if not count or tonumber(count) == 0 then
    return nil
  end
  local every = math.ceil(period * 1000 / count)
  return { every = every, ahead = math.max(0, burst - 1) * every }
end

-- Limits of a group: its own, and those of each of its keys; nil where there is none.
local limits_read = {}
local function limits_of(group)
  local limits = limits_read[group]
  if not limits then
    local said = call('HMGET', meta_key, 'limit:' .. group, 'limit:' .. group .. '/*', 'rate:' .. group,
      'rate:' .. group .. '/*')
    limits = {
      group = tonumber(said[1]), key = tonumber(said[2]), group_rate = read_rate(said[3]), key_rate = read_rate(said[4]),
    }
    limits_read[group] = limits
  end
  return limits
end

local function is_full(limit, field)
  return limit ~= nil and (tonumber(call('HGET', held_key, field)) or 0) >= limit
end

-- The arrival time of a place. Never further ahead than its tokens allow: after a change of rate the new one holds.
local tats = {}
local function tat_of(rate, place)
  local tat = tats[place]
  if not tat then
    tat = tonumber(call('ZSCORE', tat_key, place) or nil) or 0
    tats[place] = tat
  end
  return math.min(tat, now_us + rate.ahead + rate.every)
end

-- When a place has a token again (us); nil if it has one.
local function opening(rate, place)
  local opens = tat_of(rate, place) - rate.ahead
  return opens > now_us and opens or nil
end

-- How many tokens a place has.
local function tokens(rate, place)
  local free = now_us + rate.ahead - math.max(now_us, tat_of(rate, place))
  return free < 0 and 0 or math.floor(free / rate.every) + 1
end

local function spend(rate, place, count)
  local tat = math.max(now_us, tat_of(rate, place)) + rate.every * count
  tats[place] = tat
  call('ZADD', tat_key, whole(tat), place)
end

-- Removes some of what is not above `score`: for `tat` and `vt` that is the same as not being there.
local function clean(key, score)
  local past = math.min(call('ZCOUNT', key, '-inf', whole(score)), CLEANED)
  if past > 0 then call('ZREMRANGEBYRANK', key, 0, past - 1) end
end

-- What runs is counted per group, and per path where there is a key. Jobs of path "" came before there were limits.
local function hold(path, change)
  if path == '' then
    return
  end
  local group = group_of(path)
  if call('HINCRBY', held_key, group, change) <= 0 then call('HDEL', held_key, group) end
  if has_key(path) and call('HINCRBY', held_key, path, change) <= 0 then call('HDEL', held_key, path) end
end
