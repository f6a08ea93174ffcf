-- Wake-ups. A worker that finds nothing notes itself in `idle`, in the same script, so no wake-up is lost between.
-- The score is the end of its sleep, so the dead lapse; its thousandths are the worker's free places.

local WAKE_TRIES = 50 -- idle entries of dead workers passed over in one call

-- Wake as many idle workers as `jobs` need, no more. Freshest first; nobody listening means dead: take the next.
local function wake(jobs)
  local tries = 0
  while jobs > 0 and tries < WAKE_TRIES do
    tries = tries + 1
    local popped = call('ZPOPMAX', idle_key)
    if not popped[1] then
      return
    end
    local sleep_end = tonumber(popped[2])
    if sleep_end < now then -- and so are all the others
      call('DEL', idle_key)
      return
    end
    local heard = call('PUBLISH', prefix .. ':worker:' .. popped[1], 'wake ' .. queue)
    if heard > 0 or CLUSTER then -- in a Cluster the listener may sit on another node, which is not counted
      jobs = jobs - math.max(1, math.floor((sleep_end % 1) * 1000 + 0.5))
    end
  end
end

-- A new delayed job may be due before the sleepers, who planned without it, wake up. True if it is the first one due.
local function is_first_due(due)
  local first = call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
  return not first[1] or due <= tonumber(first[2])
end
