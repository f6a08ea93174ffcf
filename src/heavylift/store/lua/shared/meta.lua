-- How the queue is run, as its `meta` says. Whoever puts jobs in line or takes them out reads it first.

local paused = false -- by hand, or because a handler asked for it
local held_until = nil -- ms; a handler asked for a pause of the queue
local by_lines = false -- groups, keys or their order matter: jobs stand in lines by group and key, else all in one
local fair = false -- lines take turns
local virtual_clock = 0
local clocked = false
local revising = nil -- what is left of the lines to bring up to date after a change of limits or order
local queue_limit = nil
local queue_rate = nil
local step = 60000000 -- us; one unit of priority is worth this much waiting
local last_rank = 0
local ranked = false
local lined = 0 -- change of the number of jobs waiting in lines other than ""

local function read_meta()
  local said = call('HMGET', meta_key, 'paused', 'mode', 'limit', 'step', 'rank', 'rate', 'held_until')
  held_until = integer(said[7])
  if held_until and held_until <= now then held_until = nil end
  paused = said[1] ~= false or held_until ~= nil
  by_lines = said[2] == 'lines'
  queue_limit = tonumber(said[3])
  step = tonumber(said[4]) or step
  last_rank = tonumber(said[5]) or 0
  queue_rate = said[6]
  if by_lines then
    local more = call('HMGET', meta_key, 'order', 'clock', 'revise')
    fair = more[1] == 'fair'
    virtual_clock = integer(more[2]) or 0
    revising = more[3] or nil
  end
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
  if clocked then call('HSET', meta_key, 'clock', whole(virtual_clock)) end
  if lined ~= 0 then call('HINCRBY', meta_key, 'lined', lined) end
end
