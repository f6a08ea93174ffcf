#!lua flags=allow-oom
-- claim: take waiting jobs together with their locks. Numbered.
--
-- Due delayed jobs become waiting first. A job that cannot be read, or that expired while it waited, goes to the
-- dead letters instead. A worker that gets fewer than it asked for is noted as idle, in this same script. One that
-- leaves a backlog wakes the next.
--
-- keys: meta call(worker) line delayed locks idle expiring failed cancelled purge ring held
-- args: worker:str number:int credits:int lease:int sleep:int max_bytes:int
-- reply: more (0 | 1: ask again), ms until the next delayed job is due (-1: none), paused (0 | 1), then per job what
--        shared/give.lua says
-- include: numbered rank path hold wake retention end quarantine give promote pick

local token = worker .. '.' .. string.format('%.0f', number)

local stored, old = answered('claim')
if old then
  return SUPERSEDED
end
if stored then
  return again(stored, token)
end

local meta = call('HMGET', meta_key, 'paused', 'mode', 'limit', 'step')
by_lines = meta[2] == 'lines'
if meta[1] then
  note_idle(credits)
  answer('claim', '')
  return { 0, -1, 1 }
end

local first = call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
if first[1] and tonumber(first[2]) <= now then
  local due = find_due(DUE_LIMIT)
  if not due then
    return MOVING
  end
  promote(due, meta[4])
  first = call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
end
local next_due = first[1] and math.max(0, tonumber(first[2]) - now) or -1

local room = meta[3] and tonumber(meta[3]) - call('ZCARD', locks_key) or credits
local wanted = math.max(0, math.min(credits, room, CLAIM_LIMIT))

local reply, ids, early
if by_lines then
  reply, ids, early = pick_from_ring(wanted, token)
else
  reply, ids, early = pick_from_line(wanted, token)
end
if not reply then
  return MOVING
end

local more = early or (#ids > 0 and (#ids == credits or #ids == CLAIM_LIMIT))
if more then
  call('ZREM', idle_key, worker)
  if backlog() then wake(1) end
else
  note_idle(credits - #ids)
end
answer('claim', table.concat(ids, ' '))
reply[1], reply[2], reply[3] = more and 1 or 0, next_due, 0
return reply
