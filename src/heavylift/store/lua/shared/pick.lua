-- Choosing jobs for a claim, and taking them.

local DUE_LIMIT = 100 -- delayed jobs made waiting by one claim
local CLAIM_LIMIT = 200 -- jobs given by one claim
local BURY_LIMIT = 50 -- unreadable or expired jobs put away by one claim

local by_worker = detail(worker)

-- Why a job may not be given, or nil: `malformed`, `expired`.
local function defect(job)
  if not job or job.state ~= 'waiting' or not job.spec then
    return 'malformed'
  end
  if job.expires and job.expires <= now and job.starts == 0 then
    return 'expired'
  end
  return nil
end

local function bury(id, job, why)
  if job and job.expires then call('ZREM', expiring_key, id) end
  if why == 'expired' then
    end_job(id, 'failed', 'expired', job.keep)
  elseif not (job and job.state and job.state ~= 'waiting') then
    quarantine(id)
  end -- else it is in another state already, and stood in the line by mistake
end

local function take(id, job, rank, token)
  job.token, job.started_at, job.starts = token, now, job.starts + 1
  call('HSET', job_key(id), 'state', 'active', 'token', token, 'worker', worker, 'started_at', now, 'starts', job.starts,
    'rank', rank)
  if job.expires then call('ZREM', expiring_key, id) end
  publish(id, 'active', by_worker)
end

-- The fast path: one line, no limits below the queue's. Whole runs of jobs move in one command.
-- Returns the reply with room for its head, the ids taken, whether it stopped early; nil if a key has moved.
local function pick_from_line(wanted, token)
  local reply, ids = { 0, 0, 0 }, {}
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
  local bytes, passed, buried, locks = 0, 0, 0, {}
  for i = 1, #found, 2 do
    local id = found[i]
    local job = read_job(id)
    local why = defect(job)
    if why then
      bury(id, job, why)
      buried = buried + 1
    else
      if #ids > 0 and bytes + weight(job) > max_bytes then break end
      bytes = bytes + weight(job)
      take(id, job, found[i + 1], token)
      give(reply, id, job)
      ids[#ids + 1] = id
      locks[#locks + 1] = now + lease
      locks[#locks + 1] = id
    end
    passed = passed + 1
    if buried >= BURY_LIMIT then break end
  end
  if passed > 0 then call('ZREMRANGEBYRANK', line_key, 0, passed - 1) end
  if #locks > 0 then call('ZADD', locks_key, unpack(locks)) end
  return reply, ids, buried > 0 or passed * 2 < #found
end

-- The general path: the best line of the best group, job by job; each is moved whole before the next is looked at.
local function pick_from_ring(wanted, token)
  local reply, ids, bytes, buried = { 0, 0, 0 }, {}, 0, 0
  while #ids < wanted and buried < BURY_LIMIT do
    local group = call('ZRANGE', ring_key, 0, 0)[1]
    if not group then
      return reply, ids, false
    end
    local ring = base .. 'ring:' .. group
    if not here({ ring }) then
      break
    end
    local path = call('ZRANGE', ring, 0, 0)[1]
    local line = base .. 'line:' .. (path or '')
    if not path or not here({ line }) then
      break
    end
    local head = call('ZRANGE', line, 0, 0, 'WITHSCORES')
    local id = head[1]
    if not id or not here({ job_key(id) }) then
      break
    end
    local job = read_job(id)
    local why = defect(job)
    if not why and #ids > 0 and bytes + weight(job) > max_bytes then
      break
    end
    call('ZREM', line, id)
    if why then
      bury(id, job, why)
      buried = buried + 1
    else
      bytes = bytes + weight(job)
      take(id, job, head[2], token)
      call('ZADD', locks_key, now + lease, id)
      hold(path, 1)
      give(reply, id, job)
      ids[#ids + 1] = id
    end
    admit(path)
  end
  if #ids == 0 and buried == 0 and wanted > 0 then
    return nil
  end
  return reply, ids, #ids < wanted
end

local function backlog()
  return call('EXISTS', by_lines and ring_key or line_key) == 1
end

-- The answer to a repeated claim: those jobs of the first answer that are still held under its token.
local function again(stored, token)
  local reply = { 1, -1, 0 }
  for id in string.gmatch(stored, '%S+') do
    if not here({ job_key(id) }) then
      return MOVING
    end
    local job = read_job(id)
    if job and job.token == token and job.state == 'active' then give(reply, id, job) end
  end
  return reply
end
