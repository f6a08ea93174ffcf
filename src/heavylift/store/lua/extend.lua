#!lua flags=allow-oom
-- extend: the heartbeat. A lock belongs to its holder until somebody takes it over, also after its expiry.
--
-- keys: meta locks
-- args: lease:int rest
-- rest: per job  id  token
-- reply: two lists: ids whose lock is another's (or whose job is gone), ids that were asked to stop
-- include:

local names = {}
for at = REST, #ARGV, 2 do
  names[#names + 1] = job_key(ARGV[at])
end
if not here(names) then
  return MOVING
end

local lost, cancelled, locks = {}, {}, {}
local lock_end = whole(now + lease)
for i, name in ipairs(names) do
  local id, token = ARGV[REST + i * 2 - 2], ARGV[REST + i * 2 - 1]
  local job = read_hash(name, 'token', 'cancel')
  if job.err or token == '' or job[1] ~= token then
    lost[#lost + 1] = id
  else
    also(locks, lock_end, id)
    if job[2] then cancelled[#cancelled + 1] = id end
  end
end
add(locks_key, locks)
return { lost, cancelled }
