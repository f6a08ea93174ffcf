#!lua flags=allow-oom
-- sweep: what is over its time goes. Jobs that did not start in time become dead letters `expired`; ended jobs are
-- removed once they were kept long enough, or the oldest of them where there are too many; so are notes of idle
-- workers that never came back. A job of a flow is not removed before its children were told how it ended, nor in its
-- first minute: children may still be on their way.
--
-- keys: meta line delayed blocked locks expiring completed failed cancelled purge outbox idle ring held
-- args: limit:int keep_completed:int keep_failed:int most_completed:int most_failed:int
-- reply: expired, removed, more (0 | 1: there is more to do), flows (0 | 1: `handover` or `tend` has something to do)
-- include: meta unique lines ending flow withdraw recount

read_meta()
if keep_completed ~= purge_time('completed') - now or keep_failed ~= purge_time('failed') - now then
  call('HSET', meta_key, 'keep:completed', keep_completed, 'keep:cancelled', keep_completed, 'keep:failed', keep_failed)
end

if here({ gate_key, tat_key, vt_key }) then
  clean(tat_key, now_us)
  recount()
end

local function overflow(state, most)
  local over = math.min(call('ZCARD', base .. state) - most, limit)
  local list = over > 0 and call('ZRANGE', base .. state, 0, over - 1) or {}
  list.state = state
  return list
end

local expired = call('ZRANGEBYSCORE', expiring_key, '-inf', now_text, 'LIMIT', 0, limit)
local leaving = {
  call('ZRANGEBYSCORE', purge_key, '-inf', now_text, 'LIMIT', 0, limit),
  overflow('completed', most_completed), overflow('failed', most_failed), overflow('cancelled', most_completed),
}
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

local buried, removed, kept = 0, 0, {}
for _, id in ipairs(expired) do
  local job = jobs[id]
  call('ZREM', expiring_key, id)
  if job and (job.state == 'waiting' or job.state == 'delayed' or job.state == 'blocked') then
    withdraw(id, job)
    end_job(id, 'failed', 'expired', job.keep, job.unique)
    job.state = 'failed'
    buried = buried + 1
  end
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
    elseif list.state and list.state ~= state then -- the same, and the new job has ended otherwise
      call('ZREM', base .. list.state, id)
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

local more = buried > 0 -- they may be too many now
for _, list in ipairs(leaving) do
  more = more or (#list == limit and not kept[list])
end
return { buried, removed, more and 1 or 0, (is_due(outbox_key) or is_due(blocked_key)) and 1 or 0 }
