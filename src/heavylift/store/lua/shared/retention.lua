-- How long an ended job is kept: its own `keep`, else the queue's (written by the sweep from the workers' settings),
-- else the built-in defaults.

local KEEP = { completed = 86400000, cancelled = 86400000, failed = 1209600000 } -- ms

local queue_keep = {}

local function purge_time(state, own_keep)
  local keep = tonumber(own_keep) or queue_keep[state]
  if not keep then
    keep = tonumber(call('HGET', meta_key, 'keep:' .. state)) or KEEP[state]
    queue_keep[state] = keep
  end
  return now + keep
end
