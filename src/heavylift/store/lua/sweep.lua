#!lua flags=allow-oom
-- sweep: what is over its time goes. Jobs that did not start in time become dead letters `expired`; ended jobs are
-- removed once they were kept long enough, or the oldest of them where there are too many; so are notes of idle
-- workers that never came back. A job of a flow is not removed before its children were told how it ended, nor in its
-- first minute: children may still be on their way. What was set for the queue goes before what the worker says. What a
-- clock that was set back holds up is brought forward.
--
-- Each notes when it was. Where that is older than what was `noted` by the last one that who asks knows of, Redis came
-- back without what it had since, and the queue's epoch ends: everybody sees that.
--
-- keys: meta line delayed blocked locks expiring completed failed cancelled purge outbox idle ring held
-- args: limit:int keep_completed:int keep_failed:int most_completed:int most_failed:int noted:int
-- reply: expired, removed, more (0 | 1: there is more to do), flows (0 | 1: `handover` or `tend` has something to do),
--        now, epoch ("" if there is none), noted
-- include: meta unique lines ending flow withdraw recount setback

read_meta()
local own = call('HMGET', meta_key, 'kept:completed', 'kept:failed', 'most:completed', 'most:failed', 'swept', 'epoch')
local epoch = own[6] or ''
if noted <= now and noted > (integer(own[5]) or 0) then -- later than now: the clock was set back
  call('HDEL', meta_key, 'epoch')
  epoch = ''
end
keep_completed, keep_failed = integer(own[1]) or keep_completed, integer(own[2]) or keep_failed
most_completed, most_failed = integer(own[3]) or most_completed, integer(own[4]) or most_failed
if keep_completed ~= purge_time('completed') - now or keep_failed ~= purge_time('failed') - now then
  call('HSET', meta_key, 'keep:completed', keep_completed, 'keep:cancelled', keep_completed, 'keep:failed', keep_failed)
end

local behind, noting = false, false
if here({ gate_key, tat_key, vt_key }) then
  clean(tat_key, now_us)
  recount()
  noting = true
  behind = note_time(integer(own[5]), { locks_key, outbox_key, blocked_key, gate_key })
end

local function overflow(state, most, key)
  key = key or base .. state
  local over = math.min(call('ZCARD', key) - most, limit)
  local list = over > 0 and call('ZRANGE', key, 0, over - 1) or {}
  list.state, list.key = state, key
  return list
end

local expired = call('ZRANGEBYSCORE', expiring_key, '-inf', now_text, 'LIMIT', 0, limit)
local leaving = {
  call('ZRANGEBYSCORE', purge_key, '-inf', now_text, 'LIMIT', 0, limit),
  overflow('completed', most_completed), overflow('failed', most_failed), overflow('cancelled', most_completed),
}
local found, done = 0, {} -- of those that go because their handler keeps so many; rules that count nothing any more
for _, field in ipairs(call('HKEYS', meta_key)) do
  local state, handler = string.match(field, '^most:(%l+):(.+)$')
  local key = state and ENDED[state] and of_handler(state, handler)
  if key and not here({ key }) then
    return MOVING
  elseif key and call('EXISTS', key) == 0 then
    done[#done + 1] = field
  elseif key and found < limit then
    local list = overflow(state, integer(call('HGET', meta_key, field)) or math.huge, key)
    found = found + #list
    leaving[#leaving + 1] = #list > 0 and list or nil
  end
end

local ids, raws = {}, {}
for _, id in ipairs(expired) do
  ids[#ids + 1] = id
end
for _, list in ipairs(leaving) do
  for _, id in ipairs(list) do
    ids[#ids + 1] = id
    raws[#raws + 1] = base .. 'raw:' .. id
  end
end
local jobs = here(raws) and survey(ids)
if not jobs then
  return MOVING
end

local asleep = math.min(call('ZCOUNT', idle_key, '-inf', '(' .. now_text), limit)
if asleep > 0 then call('ZREMRANGEBYRANK', idle_key, 0, asleep - 1) end

if #done > 0 then call('HDEL', meta_key, unpack(done)) end
local buried, removed, kept = 0, 0, {}
for _, id in ipairs(expired) do
  local job = jobs[id]
  if job and (job.state == 'waiting' or job.state == 'delayed' or job.state == 'blocked') then
    end_job(id, 'failed', 'expired', job.keep, job.unique)
    withdraw(id, job)
    job.state = 'failed'
    buried = buried + 1
  end
  call('ZREM', expiring_key, id)
end
local gone = {}
for _, list in ipairs(leaving) do
  for _, id in ipairs(list) do
    local job = jobs[id]
    local state = job and job.state
    if not ENDED[state] then -- its hash was deleted by hand, and its id may be a new job's
      call('ZREM', purge_key, id)
      call('ZREM', completed_key, id)
      call('ZREM', failed_key, id)
      call('ZREM', cancelled_key, id)
      if list.key then call('ZREM', list.key, id) end
    elseif list.state and list.state ~= state then -- the same, and the new job has ended otherwise
      call('ZREM', list.key, id)
    elseif is_awaited(job) then
      call('ZADD', purge_key, whole(now + CHILDREN_COME), id)
      kept[list] = true
    elseif not gone[id] then
      withdraw(id, job)
      release(id, job.unique)
      erase(id, job)
      gone[id] = true
      removed = removed + 1
    end
  end
end
keep_meta()

local more = behind or buried > 0 -- they may be too many now
for _, list in ipairs(leaving) do
  more = more or (#list == limit and not kept[list])
end
return { buried, removed, more and 1 or 0, (is_due(outbox_key) or is_due(blocked_key)) and 1 or 0, now,
  epoch, noting and not behind and now or integer(own[5]) or 0 }
