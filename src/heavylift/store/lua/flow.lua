#!lua flags=allow-oom
-- flow: the jobs of a flow in this queue, a page of them.
--
-- keys: meta
-- args: id:str offset:int count:int
-- reply: how many there are, then per job  id  state  reason ("" if none)  1 if nothing waits for it, else 0
-- include: flow

local index = flow_of(id)
if not here({ index }) then
  return MOVING
end
local found = call('ZRANGE', index, offset, offset + count - 1, 'WITHSCORES')
local names = {}
for i = 1, #found, 2 do
  names[#names + 1] = job_key(found[i])
end
if not here(names) then
  return MOVING
end
local reply = { 0 }
for i, name in ipairs(names) do
  local job = read_hash(name, 'state', 'reason')
  if job.err or not job[1] then -- deleted by hand
    call('ZREM', index, found[i * 2 - 1])
  else
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = found[i * 2 - 1], job[1], job[2] or '', found[i * 2]
  end
end
reply[1] = call('ZCARD', index)
return reply
