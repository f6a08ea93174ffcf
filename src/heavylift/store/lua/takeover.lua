#!lua flags=allow-oom
-- takeover: jobs whose lock has expired become the caller's, who settles them as abandoned. Numbered.
--
-- The job stays active and stays counted against its limits until that settlement. A worker learns from its next
-- heartbeat that a lock of its own was taken.
--
-- keys: meta call(worker) locks
-- args: worker:str number:int lease:int limit:int max_bytes:int
-- reply: now, then per job what shared/give.lua says
-- include: numbered give

local token = worker .. '.t' .. number_text

local stored, old = answered('takeover')
if old then
  return SUPERSEDED
end
if stored then
  return give_again({ now }, stored, token)
end

local expired = call('ZRANGEBYSCORE', locks_key, '-inf', now_text, 'LIMIT', 0, limit)
local names = {}
for i, id in ipairs(expired) do
  names[i] = job_key(id)
end
if not here(names) then
  return MOVING
end

local reply, taken, bytes = { now }, {}, 0
for i, id in ipairs(expired) do
  local job = read_hash(names[i], 'state', 'spec', 'worker')
  if job.err or job[1] ~= 'active' then
    call('ZREM', locks_key, id) -- a lock without an attempt
  else
    local spec, previous = job[2] or '', job[3] or ''
    if bytes > 0 and bytes + #spec > max_bytes then break end
    call('HSET', names[i], 'token', token, 'worker', worker)
    call('ZADD', locks_key, whole(now + lease), id)
    publish(id, 'stalled', detail(previous))
    bytes = bytes + #spec + give_started(reply, id, spec, previous, (read_started(names[i])))
    taken[#taken + 1] = id .. ',' .. previous
  end
end
answer('takeover', table.concat(taken, ' '))
return reply
