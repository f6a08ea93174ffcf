-- include: revise promote
--
-- What a claim does first, and last, where jobs stand in lines.

local OPENED = 100 -- lines and groups let in from the gate by one claim
local SORTED = 100 -- jobs sorted into their lines by one claim
local REVISED = 100 -- lines looked at again by one claim

-- All that must be done before the rings say who is next. False if a key has moved; what was done is whole.
local function catch_up()
  local names = {}
  need_line(names, '')
  if not here(names) then
    return false
  end
  if revising and not revise(REVISED) then
    return false
  end
  return (call('EXISTS', line_key) == 0 or sort_out(SORTED)) and open_gate(OPENED)
end

-- Forgets what says nothing any more: tokens that are all there, turns that have passed. With nothing waiting there are
-- no turns, and once no limits either, no lines: back to the fast path.
local function tidy()
  clean(tat_key, now_us)
  local said = call('HMGET', meta_key, 'lined', 'limits')
  if (tonumber(said[1]) or 0) > 0 or call('EXISTS', line_key) == 1 then
    if fair then clean(vt_key, virtual_clock) end
    return
  end
  if virtual_clock > 0 then
    call('UNLINK', vt_key)
    call('HDEL', meta_key, 'clock')
  end
  if (tonumber(said[2]) or 0) <= 0 and not fair and not revising then call('HDEL', meta_key, 'mode') end
end
