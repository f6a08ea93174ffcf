-- Schedules. `schedules` has their names by their next tick (ms; inf: paused, or there is none any more), and
-- `schedule:<name>` all that is known of one. Which tick follows is reckoned by whoever fires one, so each call says
-- which tick it has seen, and under which revision; it does nothing if it is not that any more.

local function schedule_of(name)
  return base .. 'schedule:' .. name
end

local function is_next(name, tick, rev)
  local score = call('ZSCORE', schedules_key, name)
  return score and whole(tonumber(score)) == tick and call('HGET', schedule_of(name), 'rev') == rev
end
