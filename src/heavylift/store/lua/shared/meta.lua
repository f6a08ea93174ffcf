-- How the queue is run, as its `meta` says. Whoever puts jobs in line or takes them out reads it first.

local paused = false
local by_lines = false -- some group or key is limited: jobs stand in lines by group and key, else all in one
local queue_limit = nil
local step = 60000000 -- us; one unit of priority is worth this much waiting
local last_rank = 0
local ranked = false
local lined = 0 -- change of the number of jobs waiting in lines other than ""

local function read_meta()
  local said = call('HMGET', meta_key, 'paused', 'mode', 'limit', 'step', 'rank')
  paused = said[1] and true or false
  by_lines = said[2] == 'lines'
  queue_limit = tonumber(said[3])
  step = tonumber(said[4]) or step
  last_rank = tonumber(said[5]) or 0
end

-- Rank: where a job stands in its line. Ready time in us, made strictly increasing, plus priority times the step:
-- lower numbers go first, equals in the order they came, and nobody waits for ever.
local function next_rank(priority)
  last_rank = math.max(now_us, last_rank + 1)
  ranked = true
  return whole(last_rank + (priority or 0) * step)
end

local function keep_meta()
  if ranked then call('HSET', meta_key, 'rank', whole(last_rank)) end
  if lined ~= 0 then call('HINCRBY', meta_key, 'lined', lined) end
end
