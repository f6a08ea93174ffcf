-- Choosing jobs for a claim, and taking them.

local DUE_LIMIT = 100 -- delayed jobs made waiting by one claim
local CLAIM_LIMIT = 200 -- jobs given by one claim
local BURY_LIMIT = 50 -- unreadable or expired jobs put away by one claim

local token = worker .. '.' .. number_text
local active_event = event_tail .. detail(worker) .. '}'

-- What decides whether a job may be given: state, envelope, starts, expires, unique; if it was started, what there is
-- of that.
local function look(name)
  local job = redis.pcall('HMGET', name, 'state', 'spec', 'starts', 'expires', 'unique')
  if job[3] then job.started, job.broken = read_started(name) end
  return job
end

-- Whether what goes with a job is on another node.
local function is_moving(job)
  return job[5] and not here({ unique_name(job[5]) })
end

-- Why a job may not be given, or nil: `malformed`, `expired`.
local function defect(job)
  if job.err or job[1] ~= 'waiting' or not job[2] or job.broken then
    return 'malformed'
  end
  if job[4] then
    local expires = integer(job[4])
    if not expires then
      return 'malformed'
    end
    if not job[3] and expires <= now then
      return 'expired'
    end
  end
  return nil
end

local function bury(id, job, why)
  if why == 'expired' then
    call('ZREM', expiring_key, id)
    end_job(id, 'failed', 'expired', call('HGET', job_key(id), 'keep'), job[5])
  elseif job.err or not job[1] or job[1] == 'waiting' then
    if job[4] then call('ZREM', expiring_key, id) end
    quarantine(id, job[5])
  end -- else it is in another state already, and stood in the line by mistake
end

-- Makes a job active and gives it. Returns the bytes it adds to the reply.
local function take(reply, name, id, job, rank)
  local starts = job[3] and whole(job[3] + 1) or '1'
  call('HSET', name, 'state', 'active', 'token', token, 'worker', worker, 'started_at', now_text, 'starts', starts,
    'rank', rank)
  call('PUBLISH', name, '{"event":"active","job":"' .. id .. active_event)
  if job[5] then release_started(id, job[5]) end
  if job[3] then
    job.started[1], job.started[6] = starts, now_text
    return #job[2] + give_started(reply, id, job[2], '', job.started)
  end
  if job[4] then call('ZREM', expiring_key, id) end
  give(reply, id, job[2], '', '')
  return #job[2]
end

-- The fast path: one line, no limits below the queue's. Whole runs of jobs move in one command.
-- Returns the reply with room for its head, the ids taken, whether it stopped early; nil if a key has moved.
local function pick_from_line(wanted)
  local reply, ids = { 0, 0, 0, 0 }, {}
  if wanted == 0 then
    return reply, ids, false
  end
  local found = call('ZRANGE', line_key, 0, wanted - 1, 'WITHSCORES')
  local names = {}
  for i = 1, #found, 2 do
    names[#names + 1] = job_key(found[i])
  end
  if not here(names) then
    return nil
  end
  local bytes, passed, locks = 0, 0, {}
  local lock_end = whole(now + lease)
  for i, name in ipairs(names) do
    local id, job = found[i * 2 - 1], look(name)
    local why = defect(job)
    if is_moving(job) then
      if passed == 0 then
        return nil
      end
      break
    end
    if why then
      bury(id, job, why)
    else
      if bytes > 0 and bytes + #job[2] > max_bytes then break end
      bytes = bytes + take(reply, name, id, job, found[i * 2])
      ids[#ids + 1] = id
      also(locks, lock_end, id)
    end
    passed = i
    if passed - #ids >= BURY_LIMIT then break end
  end
  if passed > 0 then call('ZREMRANGEBYRANK', line_key, 0, passed - 1) end
  add(locks_key, locks)
  return reply, ids, passed > #ids or passed < #names
end

-- The best line of the best group, its first job with its rank, and the turn that group has; nothing, and whether to
-- stop here: a key has moved, or a line was not as its ring says.
local function best()
  local top = call('ZRANGE', ring_key, 0, 0, 'WITHSCORES')
  local group = top[1]
  if not group then
    return nil, false
  end
  local ring = ring_of(group)
  if not here({ ring }) then
    return nil, true
  end
  local path = call('ZRANGE', ring, 0, 0)[1] or group .. '/'
  if not here({ line_of(path) }) then
    return nil, true
  end
  local first = call('ZRANGE', line_of(path), 0, 0, 'WITHSCORES')
  if not first[1] then -- never so, unless somebody else has changed the line; put right what can be
    admit(path)
    return nil, true
  end
  return path, not here({ job_key(first[1]) }), first[1], first[2], tonumber(top[2])
end

-- Whether the limits allow one more of `path`. Rings say so already, but while they are brought up to date.
local function may_run(path)
  local group, key = group_of(path), has_key(path)
  local limits = limits_of(group)
  return not (is_full(limits.group, group) or key and is_full(limits.key, path)
    or limits.group_rate and opening(limits.group_rate, group)
    or key and limits.key_rate and opening(limits.key_rate, path))
end

-- A job of `path` starts: it is counted, takes its tokens, and its line has had its turn.
local function start(path, turn)
  local group = group_of(path)
  local limits = limits_of(group)
  hold(path, 1)
  if limits.group_rate then spend(limits.group_rate, group, 1) end
  if limits.key_rate and has_key(path) then spend(limits.key_rate, path, 1) end
  if fair then serve(path, revising and 0 or turn) end -- until all is revised, rings hold other scores as well
end

-- The general path: job by job; each is moved whole before the next is looked at. Returns as `pick_from_line`.
local function pick_from_ring(wanted)
  local reply, ids = { 0, 0, 0, 0 }, {}
  local bytes, passed, barred = 0, 0, 0
  local lock_end = whole(now + lease)
  while #ids < wanted and passed - #ids < BURY_LIMIT and barred < BURY_LIMIT do
    local path, moving, id, rank, turn = best()
    if moving then
      if passed == 0 then
        return nil
      end
      return reply, ids, true
    end
    if not path then
      return reply, ids, passed > #ids
    end
    if revising and not may_run(path) then
      barred = barred + 1
      admit(path, true)
    else
      local name = job_key(id)
      local job = look(name)
      local why = defect(job)
      if is_moving(job) then
        if passed == 0 then
          return nil
        end
        return reply, ids, true
      end
      if not why and bytes > 0 and bytes + #job[2] > max_bytes then
        return reply, ids, true
      end
      call('ZREM', line_of(path), id)
      lined = lined - 1
      if why then
        bury(id, job, why)
      else
        bytes = bytes + take(reply, name, id, job, rank)
        call('ZADD', locks_key, lock_end, id)
        start(path, turn)
        ids[#ids + 1] = id
      end
      passed = passed + 1
      admit(path, true)
    end
  end
  return reply, ids, #ids < wanted
end
