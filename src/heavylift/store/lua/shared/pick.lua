-- Choosing jobs for a claim, and taking them.

local DUE_LIMIT = 50 -- delayed jobs made waiting by one claim
local CLAIM_LIMIT = 200 -- jobs given by one claim
local RING_LIMIT = 20 -- and where they stand in lines: each costs about twice as much
local BURY_LIMIT = 50 -- unreadable or expired jobs put away by one claim

local token = worker .. '.' .. number_text
local lock_end = whole(now + lease)
local active_event = event_tail .. detail(worker) .. '}'

-- What decides whether a job may be given: state, envelope, starts, expires, unique; if it was started, what there is
-- of that.
local function look(name)
  local job = read_hash(name, 'state', 'spec', 'starts', 'expires', 'unique')
  if job[3] then job.started, job.broken = read_started(name) end
  return job
end

-- Whether what goes with a job is on another node.
local function is_moving(job)
  return CLUSTER and job[5] and not here({ unique_name(job[5]) })
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
  call('PUBLISH', name, '{"event":"active","job":"' .. id .. active_event)
  call('HSET', name, 'state', 'active', 'token', token, 'worker', worker, 'started_at', now_text, 'starts', starts,
    'rank', rank)
  if job[5] then release_started(id, job[5]) end
  if job[3] then
    job.started[1], job.started[STARTED_AT] = starts, now_text
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

-- Takes the first job of `path`'s line, or puts it away. What stands in the way, if anything: `stop`.
local function pick_one(picked, path, group, turn)
  local line = line_of(path)
  if CLUSTER and not here({ line }) then
    return 'stop'
  end
  local first = call('ZRANGE', line, 0, 1, 'WITHSCORES') -- and the one after it
  local id = first[1]
  if not id then -- never so, unless somebody else has changed the line; put right what can be
    admit_line(path, group)
    return 'stop'
  end
  local name = job_key(id)
  if CLUSTER and not here({ name }) then
    return 'stop'
  end
  if revising and not may_run(path) then
    picked.barred = picked.barred + 1
    admit_line(path, group, true)
    return nil
  end
  local job = look(name)
  local why = defect(job)
  if is_moving(job) or not why and picked.bytes > 0 and picked.bytes + #job[2] > max_bytes then
    return 'stop'
  end
  if why then
    bury(id, job, why)
  else
    picked.bytes = picked.bytes + take(picked.reply, name, id, job, first[2])
    also(picked.locks, lock_end, id)
    start(path, turn)
    picked.ids[#picked.ids + 1] = id
  end
  call('ZREM', line, id)
  lined = lined - 1
  picked.passed = picked.passed + 1
  place_line(path, group, first[4] or false, false, not revising)
  return nil
end

-- Picks from the best group for as long as it is the best, and may run. What ends the picking: `stop`, or `empty`.
local function pick_from_group(picked, wanted)
  local top = call('ZRANGE', ring_key, 0, 1, 'WITHSCORES')
  local group, turn, other = top[1], tonumber(top[2]), tonumber(top[4])
  if not group then
    return 'empty'
  end
  local ring = ring_of(group)
  if not here({ ring }) then
    return 'stop'
  end
  local limits, path = limits_of(group), call('ZRANGE', ring, 0, 0)[1] or group .. '/'
  local ended
  repeat
    ended = pick_one(picked, path, group, turn)
    if other or fair then
      local head = call('ZRANGE', ring, 0, 0, 'WITHSCORES')
      path, turn = head[1], tonumber(head[2])
      if path and fair then turn = math.max(virtual_clock, turn) end
    else
      path = call('ZRANGE', ring, 0, 0)[1]
    end
  until ended or not path or other and turn >= other or #picked.ids >= wanted
    or picked.passed - #picked.ids >= BURY_LIMIT or picked.barred >= BURY_LIMIT
    or is_full(limits.group, group) or limits.group_rate and opening(limits.group_rate, group)
  admit_group(group)
  return ended
end

-- The general path: job by job; each is moved whole before the next is looked at. Returns as `pick_from_line`.
local function pick_from_ring(wanted)
  local picked = { reply = { 0, 0, 0, 0 }, ids = {}, locks = {}, bytes = 0, passed = 0, barred = 0 }
  local ended
  while not ended and #picked.ids < wanted and picked.passed - #picked.ids < BURY_LIMIT and picked.barred < BURY_LIMIT do
    ended = pick_from_group(picked, wanted)
  end
  if ended == 'stop' and picked.passed == 0 then
    return nil
  end
  add(locks_key, picked.locks)
  if ended == 'empty' then
    return picked.reply, picked.ids, picked.passed > #picked.ids
  end
  return picked.reply, picked.ids, ended == 'stop' or #picked.ids < wanted
end
