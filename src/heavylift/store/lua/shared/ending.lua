-- include: keeping
--
-- Ended jobs: in one of `completed`, `failed`, `cancelled` by the time they ended, and in `purge` by the time they go.

-- How long one is kept: its own `keep`, else the queue's (the sweep writes the workers' settings there), else this.
local KEEP = { completed = 86400000, cancelled = 86400000, failed = 1209600000 } -- ms

local function own_time(state, said)
  local ended, failed = string.match(said, '^([^/]*)/?([^/]*)')
  return integer(state == 'failed' and failed ~= '' and failed ~= '-' and failed or ended)
end

-- If the key is on another node now, the job goes by its time alone.
local function count_ended(id, state, said)
  if not string.find(said, '/', 1, true) then
    return
  end
  local handler = call('HGET', job_key(id), 'handler')
  local key, most = counted_in(state, said, handler)
  if key and here({ key }) then
    call('ZADD', key, now_text, id)
    call('HSET', meta_key, 'most:' .. state .. ':' .. handler, most)
  end
end

local purge_times = {}
local function purge_time(state, own_keep)
  own_keep = own_keep and own_time(state, own_keep)
  if own_keep then
    return whole(now + own_keep)
  end
  local time = purge_times[state]
  if not time then
    time = whole(now + (integer(call('HGET', meta_key, 'keep:' .. state)) or KEEP[state]))
    purge_times[state] = time
  end
  return time
end

-- The end of a job that nobody runs; it must not stand in any line or set any more. `unique`: what it holds, if any.
-- Jobs that wait for it are told by way of the outbox (`handover`).
local function end_job(id, state, reason, own_keep, unique)
  publish(id, state, detail(reason))
  call('HSET', job_key(id), 'state', state, 'reason', reason, 'finished_at', now_text, 'token', '')
  call('ZADD', state == 'failed' and failed_key or cancelled_key, now_text, id)
  call('ZADD', purge_key, purge_time(state, own_keep), id)
  if own_keep then count_ended(id, state, own_keep) end
  release(id, unique)
  if call('HGET', job_key(id), 'children') then call('ZADD', outbox_key, now_text, id) end
end

-- A job that cannot be read must not stop the queue: it becomes a dead letter `malformed`, all of it kept.
local function quarantine(id, unique)
  local name = job_key(id)
  local kind = call('TYPE', name).ok
  if kind ~= 'hash' and kind ~= 'none' then
    call('RENAME', name, base .. 'raw:' .. id)
    call('PEXPIRE', base .. 'raw:' .. id, whole(purge_time('failed') - now))
    call('HSET', name, 'children', '1') -- it may have had some; `handover` finds out
  end
  end_job(id, 'failed', 'malformed', nil, unique)
end
