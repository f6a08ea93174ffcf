#!lua flags=allow-oom
-- claim: take waiting jobs together with their locks. Numbered.
--
-- Due delayed jobs become waiting first, and lines that have tokens again may run. A job that cannot be read, or that
-- expired while it waited, goes to the dead letters instead. A worker that gets fewer than it asked for is noted as
-- idle, in this same script. One that leaves a backlog wakes the next.
--
-- keys: meta call(worker) line delayed locks idle expiring failed cancelled purge outbox ring held
-- args: worker:str number:int credits:int lease:int sleep:int max_bytes:int
-- reply: more (0 | 1: ask again), ms until it is worth to ask again (-1: not known): a delayed job is due, there are
--        tokens, a pause asked for by a handler ends; paused (0 | 1), now, then per job what shared/give.lua says
-- include: meta unique numbered lines wake ending give promote upkeep pick

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
  return { 0, held_until and held_until - now or -1, held_until and 0 or 1, now }
end
local rate = read_rate(queue_rate)
local left = by_lines and catch_up() or not by_lines and DUE_LIMIT
if not left or rate and not here({ tat_key }) then
  keep_meta()
  return MOVING
end

local first = call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
if first[1] and tonumber(first[2]) <= now then
  local due = find_due(left)
  if not due then
    keep_meta()
    return MOVING
  end
  promote(due)
  first = call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')
end

local room = queue_limit and queue_limit - call('ZCARD', locks_key) or credits
if rate then room = math.min(room, tokens(rate, '')) end
if is_adopting() then room = 0 end
local most = by_lines and RING_LIMIT or CLAIM_LIMIT
local wanted = math.max(0, math.min(credits, room, most))
local reply, ids, early
if by_lines then
  reply, ids, early = pick_from_ring(wanted)
else
  reply, ids, early = pick_from_line(wanted)
end
if not reply then -- nothing was taken; the rest is whole
  keep_meta()
  return MOVING
end
if rate and #ids > 0 then spend(rate, '', #ids) end
keep_lines()
keep_meta()
local unsorted = by_lines and (revising or call('EXISTS', line_key) == 1)
if by_lines then tidy() end

-- No credits: a look whether there is something to save places for.
local seen = credits == 0 and not (queue_limit and room < 1)
  and call('EXISTS', by_lines and ring_key or line_key) == 1
local more = early or unsorted or seen or (#ids > 0 and (#ids == credits or #ids == most))
local next_at = first[1] and tonumber(first[2])
local function ask_by(time)
  if time then next_at = math.min(next_at or time, time) end
end
if by_lines then
  ask_by(tonumber(call('ZRANGE', gate_key, 0, 0, 'WITHSCORES')[2]))
end
local opens = rate and opening(rate, '')
if opens then
  more = false
  if backlog() then ask_by(math.ceil(opens / 1000)) end
end
if more then
  call('ZREM', idle_key, worker)
  if backlog() then wake(1) end
else
  note_idle(credits - #ids)
end
answer('claim', table.concat(ids, ' '))
reply[1] = more and 1 or 0
reply[2] = next_at and math.max(0, next_at - now) or -1
reply[3], reply[4] = 0, now
return reply
