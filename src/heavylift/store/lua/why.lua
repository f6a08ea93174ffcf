#!lua flags=no-writes
-- why: what keeps a job from running, as far as its queue can tell: pause, limits, parents, time, others before it.
--
-- keys: meta line delayed locks ring held
-- args: id:str most:int
-- most: so many parents, and so many jobs that hold a place, are named at most
-- reply: pairs of a name and what is said: fields of the job under their own names, and
--        now (ms); paused (1); rests (until, ms); staged (ms until its parents are forgotten: it is not enqueued yet)
--        full "limit running place", then holds "place id"; spent "ms when it opens, count, period, burst, place"
--        (place: "" the queue, "<group>", "<group>/<key>"); pending (how many parents), parent "queue id"
--        ahead (jobs before it), exact (0 | 1), fair (1: keys take turns); last (JSON of its last attempt); lock (its expiry, ms); lost (1: it
--        stands in no line). Nothing if there is no such job.
-- include: meta lines ahead

local TOLD = {
  'state', 'handler', 'due', 'starts', 'attempts', 'crashes', 'interruptions', 'unknown', 'unbegun', 'worker', 'started_at',
  'cancel', 'reason', 'cause', 'finished_at', 'unique', 'latest', 'blame', 'group', 'key', 'path', 'prio',
  'expires',
}
local RUNNING = 200 -- running jobs looked at for those that hold a place

read_meta()
local name, pending = job_key(id), base .. 'pending:' .. id
if not here({ name, pending, gate_key, tat_key, vt_key }) then
  return MOVING
end

local reply = {}
local function say(what, value)
  if value then also(reply, what, tostring(value)) end
end

local read = read_hash(name, unpack(TOLD))
local job = {}
if read.err then
  return { 'state', 'unreadable' }
end
for i, field in ipairs(TOLD) do
  job[field] = read[i]
  say(field, read[i])
end
if #reply == 0 then
  local left = call('PTTL', pending)
  return left > 0 and { 'staged', whole(left) } or {}
end
say('now', now_text)
say('fair', fair and 1)
say('paused', call('HGET', meta_key, 'paused'))
say('rests', held_until and whole(held_until))
say('last', job.starts and call('HGET', name, 'attempt:' .. job.starts))

-- Whether a job of this path counts in that place.
local function counts_in(place, path)
  return place == '' or path == place or group_of(path) == place
end

-- Some that run there. Nil if a key is not here.
local function say_holders(place)
  local ids, names, told = call('ZRANGE', locks_key, 0, RUNNING - 1), {}, 0
  for i, holder in ipairs(ids) do
    names[i] = job_key(holder)
  end
  if not here(names) then
    return nil
  end
  for i, holder in ipairs(ids) do
    local job = read_hash(names[i], 'path')
    if told < most and not job.err and counts_in(place, job[1] or '') then
      say('holds', place .. ' ' .. holder)
      told = told + 1
    end
  end
  return true
end

local function say_full(limit, running, place)
  if not limit or running < limit then
    return true
  end
  say('full', whole(limit) .. ' ' .. whole(running) .. ' ' .. place)
  return say_holders(place)
end

local function say_spent(rate, text, place)
  local opens = rate and opening(rate, place)
  if opens then say('spent', whole(math.ceil(opens / 1000)) .. ' ' .. text .. ' ' .. place) end
end

local function running_in(place)
  return tonumber(call('HGET', held_key, place)) or 0
end

-- Limits that let no more of this path start now. Nil if a key is not here.
local function say_limits(path)
  local whole_queue = say_full(queue_limit, call('ZCARD', locks_key), '')
  say_spent(read_rate(queue_rate), queue_rate, '')
  if path == '' then
    return whole_queue
  end
  local group = group_of(path)
  local limits = limits_of(group)
  local of_group, per_key = say_full(limits.group, running_in(group), group), true
  say_spent(limits.group_rate, call('HGET', meta_key, 'rate:' .. group), group)
  if has_key(path) then
    per_key = say_full(limits.key, running_in(path), path)
    say_spent(limits.key_rate, call('HGET', meta_key, 'rate:' .. group .. '/*'), path)
  end
  return whole_queue and of_group and per_key
end

-- How many go before it: those of its own line, those that are due, and those of other lines. `home`: the line it is
-- in, at this place; nil if it is due and in none yet. Nil if a key is not here.
local function say_ahead(path, home, place, rank)
  local ahead, exact = call('ZCOUNT', delayed_key, '-inf', now_text) - (home and 0 or 1), home == path and 1 or 0
  if home ~= path then place = place + call('ZCOUNT', line_of(path), '-inf', '(' .. rank) end
  ahead = ahead + place
  if by_lines then
    if home ~= '' then ahead = ahead + call('ZCOUNT', line_key, '-inf', '(' .. rank) end
    local lines, opened = other_lines(path)
    local group = group_of(path)
    if not lines then
      return nil
    end
    local group_turn, turn = tonumber(call('ZSCORE', ring_key, group) or nil) or virtual_clock, virtual_time(path)
    for _, other in ipairs(lines) do
      local first = other[2] < group_turn or other[2] == group_turn and other[3] <= turn
      local more = ahead_in(other[1], rank, place, first)
      if not more then
        return nil
      end
      ahead = ahead + more
    end
    if #lines > LINES or revising or fair and opened then exact = 0 end
  end
  say('ahead', whole(ahead))
  say('exact', exact)
  return true
end

-- Nil if a key is not here.
local function say_waiting()
  local due = job.state == 'delayed' and integer(job.due)
  local home = not due and (job.path or '')
  local path = by_lines and (home and home ~= '' and home or path_of(job.handler, job.group, job.key)) or ''
  if not here({ line_of(home or ''), line_of(path), ring_of(group_of(path)) }) or not say_limits(path) then
    return nil
  end
  if due then
    local rank = due * 1000 + (integer(job.prio) or 0) * step
    return say_ahead(path, nil, 0, whole(rank))
  end
  local place = call('ZRANK', line_of(home), id)
  if not place then
    say('lost', 1)
    return true
  end
  return say_ahead(path, home, place, call('ZSCORE', line_of(home), id))
end

if job.state == 'waiting' or job.state == 'delayed' and (integer(job.due) or 0) <= now then
  if not say_waiting() then
    return MOVING
  end
elseif job.state == 'blocked' then
  say('pending', call('ZCARD', pending))
  for _, parent in ipairs(call('ZRANGE', pending, 0, most - 1)) do
    say('parent', parent)
  end
elseif job.state == 'active' then
  say('lock', call('ZSCORE', locks_key, id))
end
return reply
