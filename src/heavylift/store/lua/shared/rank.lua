-- Rank: where a job stands in its line. Ready time in microseconds, made strictly increasing, plus priority times
-- the queue's step: lower numbers go first, equals in the order they came, and nobody waits for ever.

local STEP = 60000000 -- us; one unit of priority is worth a minute of waiting

local function step_of(meta_step)
  return tonumber(meta_step or nil) or STEP
end

local last_rank = nil

-- `meta_rank` and `meta_step` are the fields as read from meta.
local function next_rank(priority, meta_rank, meta_step)
  last_rank = math.max(now_us, (last_rank or tonumber(meta_rank or 0)) + 1)
  return last_rank + priority * step_of(meta_step)
end

local function keep_last_rank()
  if last_rank then
    call('HSET', meta_key, 'rank', last_rank)
  end
end
