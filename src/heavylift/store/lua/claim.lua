#!lua flags=allow-oom
-- claim: take waiting jobs together with their locks. Numbered.
--
-- Due delayed jobs become waiting first. A job that cannot be read, or that expired while it waited, goes to the
-- dead letters instead. A worker that gets fewer than it asked for is noted as idle, in this same script. One that
-- leaves a backlog wakes the next.
--
-- keys: meta call(worker) line delayed locks idle expiring failed cancelled purge outbox ring held
-- args: worker:str number:int credits:int lease:int sleep:int max_bytes:int
-- reply: more (0 | 1: ask again), ms until the next delayed job is due (-1: none), paused (0 | 1), now, then per job
--        what shared/give.lua says
-- include: meta unique numbered lines wake ending give promote pick

local stored, old = answered('claim')
if old then
  return SUPERSEDED
end
if stored then
  return give_again({ 1, -1, 0, now }, stored, token)
end

local function note_idle(places)
  call('ZADD', idle_key, string.format('%.3f', now + sleep + math.min(places, 999) / 1000), worker)
end

read_meta()
if paused then
  note_idle(credits)
  answer('claim', '')
  return { 0, -1, 1, now }
end

local first = call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
if first[1] and tonumber(first[2]) <= now then
  local due = find_due(DUE_LIMIT)
  if not due then
    return MOVING
  end
  promote(due)
  first = call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
end

local room = queue_limit and queue_limit - call('ZCARD', locks_key) or credits
local wanted = math.max(0, math.min(credits, room, CLAIM_LIMIT))
local reply, ids, early
if by_lines then
  reply, ids, early = pick_from_ring(wanted)
else
  reply, ids, early = pick_from_line(wanted)
end
if not reply then -- nothing but the promotion was done, and that is whole
  keep_meta()
  return MOVING
end
keep_meta()
if by_lines and #ids == 0 and not backlog() and (tonumber(call('HGET', meta_key, 'limits')) or 0) <= 0 then
  call('HDEL', meta_key, 'mode') -- the last limit was lifted and nothing waits: back to the fast path
end

local more = early or (#ids > 0 and (#ids == credits or #ids == CLAIM_LIMIT))
if more then
  call('ZREM', idle_key, worker)
  if backlog() then wake(1) end
else
  note_idle(credits - #ids)
end
answer('claim', table.concat(ids, ' '))
reply[1] = more and 1 or 0
reply[2] = first[1] and math.max(0, tonumber(first[2]) - now) or -1
reply[3], reply[4] = 0, now
return reply
