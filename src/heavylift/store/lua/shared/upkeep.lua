-- include: revise promote
--
-- What a claim does first, and last, where jobs stand in lines.

local MOVED = 40 -- lines, groups and jobs that a claim brings up to date; each costs it about as much as a job to give

-- What must be done before the rings say who is next, as far as one call may. How much more it may; nil if a key has
-- moved: what was done is whole.
local function catch_up()
  local names = {}
  need_line(names, '')
  if not here(names) then
    return nil
  end
  local left = MOVED
  if revising then left = revise(left) end
  if left and left > 0 and call('EXISTS', line_key) == 1 then left = sort_out(left) end
  if left and left > 0 then left = open_gate(left) end
  return left
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
