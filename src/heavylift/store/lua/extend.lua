#!lua flags=allow-oom
-- extend: the heartbeat. A lock belongs to its holder until somebody takes it over, also after its expiry.
--
-- keys: meta locks
-- args: lease:int rest
-- rest: per job  id  token
-- reply: two lists: ids whose lock is another's (or whose job is gone), ids that were asked to stop
-- include:

local names = {}
for i = REST, #ARGV, 2 do
  names[#names + 1] = job_key(ARGV[i])
end
if not here(names) then
  return MOVING
end

local lost, cancelled, locks = {}, {}, {}
for i = REST, #ARGV, 2 do
  local id = ARGV[i]
  local job = redis.pcall('HMGET', job_key(id), 'token', 'state', 'cancel')
  if job.err or job[2] ~= 'active' or job[1] ~= ARGV[i + 1] then
    lost[#lost + 1] = id
  else
    locks[#locks + 1] = now + lease
    locks[#locks + 1] = id
    if job[3] then cancelled[#cancelled + 1] = id end
  end
end
if #locks > 0 then call('ZADD', locks_key, unpack(locks)) end
return { lost, cancelled }
