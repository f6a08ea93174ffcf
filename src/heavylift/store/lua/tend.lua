#!lua flags=allow-oom
-- tend: look after jobs that have been blocked for a while: which parents are they waiting for?
--
-- Whoever asks must `link` the parents that are named, again: one may have been missed when a producer died, or be
-- gone since. The more often a job was looked at, the rarer it is; of many parents those come first that were not
-- asked for longest. Of jobs named by whoever has just given them another life, due or not, those parents come that were
-- not asked yet in this life.
--
-- keys: meta line delayed blocked expiring failed cancelled purge outbox idle ring held
-- args: most:int rest
-- rest: ids of these jobs, fifty at most; none: of those that are due
-- reply: more (0 | 1), then per job  id  its life  its flow  number of parents, then each as "queue id"
-- include: meta unique lines wake ending flow withdraw arrive

local JOBS = 50
local SOON, SELDOM, RARELY = 1000, 60000, 3600000 -- ms

read_meta()
local named = #ARGV >= REST
local ids = named and { unpack(ARGV, REST) } or call('ZRANGEBYSCORE', blocked_key, '-inf', now_text, 'LIMIT', 0, JOBS)
local strays = {}
for _, id in ipairs(ids) do
  local n = #strays
  strays[n + 1], strays[n + 2] = pending_of(id), parents_of(id)
end
local jobs = here(strays) and survey(ids)
if not jobs then
  return MOVING
end

-- Until when nobody need look: soon if some parents were not asked yet, else the later the older the job.
local function next_look(id, job)
  if call('ZCOUNT', pending_of(id), '-inf', 0) > 0 then
    return now + SOON
  end
  local age = now - (integer(job.enqueued_at) or now)
  return now + math.max(SELDOM, math.min(RARELY, age))
end

local function to_ask(id, room)
  if named then
    return call('ZRANGEBYSCORE', pending_of(id), '-inf', 0, 'LIMIT', 0, room)
  end
  return call('ZRANGE', pending_of(id), 0, room - 1)
end

local reply, given, early = { 0 }, 0, false
for _, id in ipairs(ids) do
  local job = jobs[id]
  if given >= most then
    early = true
    break
  end
  if not job then
    call('ZREM', blocked_key, id)
    if not named then call('UNLINK', pending_of(id), parents_of(id)) end
  elseif job.state ~= 'blocked' then
    call('ZREM', blocked_key, id)
  elseif call('EXISTS', pending_of(id)) == 0 then -- taken away by somebody: it must not wait for nothing
    ready(id, job)
  else
    local asked = to_ask(id, most - given)
    if #asked > 0 then
      local n = #reply
      reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = id, integer(job.lives) or 0, job.flow or '', #asked
      local stamps = {}
      for i, parent in ipairs(asked) do
        reply[n + 4 + i] = parent
        also(stamps, now_text, parent)
      end
      call('ZADD', pending_of(id), unpack(stamps))
      local look = next_look(id, job)
      call('ZADD', blocked_key, whole(look), id)
      given = given + #asked
      early = early or named and look == now + SOON
    end
  end
end
line_up()
keep_meta()
if not paused then wake(awake) end
reply[1] = (early or not named and #ids == JOBS) and 1 or 0
return reply
