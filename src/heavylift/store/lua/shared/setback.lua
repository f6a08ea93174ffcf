-- include: limits
--
-- Redis' clock was set back: what was to be over soon would be so only once the clock has come that far again. Sweeps
-- note the time; one that finds itself long before the last brings what lies after that one forward by the difference.
-- Only spans are: of locks, hand-overs, rates and rests. What is due at a time of day waits for that time.

local NOTED = 60000 -- ms; less is waited for
local BROUGHT = 300 -- entries of a set brought forward by one call

-- True if there is more of it.
local function bring_forward(key, after, back)
  local list, sooner = call('ZRANGEBYSCORE', key, '(' .. whole(after), '+inf', 'WITHSCORES', 'LIMIT', 0, BROUGHT), {}
  for i = 1, #list, 2 do
    also(sooner, whole(tonumber(list[i + 1]) - back), list[i])
  end
  add(key, sooner)
  return #list == 2 * BROUGHT
end

-- `swept`: when the last sweep was; `keys`: sets by time. True if there is more to do.
local function note_time(swept, keys)
  local back, more = swept and swept - now or 0, false
  if back > NOTED then
    for _, key in ipairs(keys) do
      more = bring_forward(key, swept, back) or more
    end
    if held_until and held_until > swept then
      held_until = held_until - back
      call('HSET', meta_key, 'held_until', whole(held_until))
    end
  end
  if not more then call('HSET', meta_key, 'swept', now_text) end
  return more
end
