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

-- What runs is counted per group, and per path where there is a key. Jobs of path "" came before there were limits.
-- Each count is read once a call, and `keep_held` writes all that have changed.
local helds, changes = {}, {}

-- Reads how many run in the places that are keys of `places`, as far as that is not known.
local function read_held(places)
  local unread = {}
  for place in pairs(places) do
    if not helds[place] then unread[#unread + 1] = place end
  end
  local counts = #unread > 0 and call('HMGET', held_key, unpack(unread))
  for i, place in ipairs(unread) do
    helds[place] = (tonumber(counts[i] or nil) or 0) + (changes[place] or 0)
  end
end

local function held(place)
  if not helds[place] then read_held({ [place] = true }) end
  return helds[place]
end

local function change_held(place, change)
  changes[place] = (changes[place] or 0) + change
  if helds[place] then helds[place] = helds[place] + change end
end

local function hold(path, change)
  if path ~= '' then
    change_held(group_of(path), change)
    if has_key(path) then change_held(path, change) end
  end
end

local function keep_held()
  read_held(changes)
  local counts, gone = {}, {}
  for place in pairs(changes) do
    if helds[place] > 0 then
      also(counts, place, whole(helds[place]))
    else
      gone[#gone + 1] = place
    end
  end
  if #counts > 0 then call('HSET', held_key, unpack(counts)) end
  if #gone > 0 then call('HDEL', held_key, unpack(gone)) end
  changes = {}
end

local function is_full(limit, place)
  return limit ~= nil and held(place) >= limit
end

-- The arrival time of a place. Never further ahead than its tokens allow: after a change of rate the new one holds.
local tats, spent = {}, {}
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
  tats[place] = math.max(now_us, tat_of(rate, place)) + rate.every * count
  spent[place] = true
end

local function keep_spent()
  local list = {}
  for place in pairs(spent) do
    also(list, whole(tats[place]), place)
  end
  add(tat_key, list)
end

-- Removes some of what is not above `score`: for `tat` and `vt` that is the same as not being there.
local function clean(key, score)
  local past = math.min(call('ZCOUNT', key, '-inf', whole(score)), CLEANED)
  if past > 0 then call('ZREMRANGEBYRANK', key, 0, past - 1) end
end
