#!lua
-- stage: note the parents of jobs that are about to be enqueued. What is not enqueued within an hour is forgotten.
--
-- The parents of one job may come in several calls of one nonce; another nonce begins anew. Those of a job that is
-- there already stay as they are.
--
-- keys: meta
-- args: nonce:str rest
-- rest: per job  id  first place  number of parents, then each as "queue id"; some hundred in all
-- reply: nothing
-- include: flow

local LIFE = 3600000 -- ms
local mark = '=' .. nonce

local jobs, names = {}, {}
local at = REST
while at <= #ARGV do
  local id, first, count = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  jobs[#jobs + 1] = { id = id, first = first, from = at + 3, to = at + 2 + count }
  local n = #names
  names[n + 1], names[n + 2], names[n + 3] = job_key(id), pending_of(id), parents_of(id)
  at = at + 3 + count
end
if not here(names) then
  return MOVING
end

for _, job in ipairs(jobs) do
  if call('EXISTS', job_key(job.id)) == 0 then
    local pending, parents = pending_of(job.id), parents_of(job.id)
    if not call('ZSCORE', pending, mark) then call('UNLINK', pending, parents) end
    local waits, places = { '-1', mark }, {}
    for n = job.from, job.to do
      also(waits, '0', ARGV[n])
      also(places, ARGV[n], whole(job.first + n - job.from))
    end
    call('ZADD', pending, unpack(waits))
    call('HSET', parents, unpack(places))
    call('PEXPIRE', pending, LIFE)
    call('PEXPIRE', parents, LIFE)
  end
end
