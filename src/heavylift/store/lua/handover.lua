#!lua flags=allow-oom
-- handover: what parents that have ended have to tell their children, a page of it; and which were told.
--
-- A parent that ends with children puts itself into the outbox, with its settlement. Whoever asks is given some
-- children and must `deliver` to each in its own queue, then say so here; a child is struck off when it was told, and
-- the entry goes with the last. Until then others are not given the same entry for a while, and then they are: any
-- number of askers, dying at any point, tell every child, and a child that is told twice notices.
--
-- keys: meta outbox
-- args: most:int max_bytes:int rest
-- rest: those that were told  id of the parent  "queue id" of the child  the child's life
-- reply: per parent  id  how it ended: c f x (completed, failed, cancelled) g (gone)  its result (JSON, or "")
--        number of children, then for each  "queue id"  its life
-- include: states flow

local WIDTH = 3
local LEASE = 5000 -- ms for which others are not given the same
local ENTRIES = 50 -- parents looked at by one call

local ids, names, seen = {}, {}, {}
local function need(id)
  if not seen[id] then
    seen[id] = true
    local n = #names
    names[n + 1], names[n + 2] = job_key(id), children_of(id)
  end
end
for at = REST, #ARGV, WIDTH do
  need(ARGV[at])
end
local out = call('ZRANGEBYSCORE', outbox_key, '-inf', now_text, 'LIMIT', 0, ENTRIES)
for _, id in ipairs(out) do
  need(id)
end
if not here(names) then
  return MOVING
end

-- The last child was told, or there never was one.
local function finish(id)
  call('ZREM', outbox_key, id)
  if call('TYPE', job_key(id)).ok == 'hash' then call('HDEL', job_key(id), 'children') end
end

local told = {}
for at = REST, #ARGV, WIDTH do
  local id, child, life = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  if tonumber(call('ZSCORE', children_of(id), child)) == life then call('ZREM', children_of(id), child) end
  told[id] = true
end
for id in pairs(told) do
  if call('EXISTS', children_of(id)) == 0 then
    finish(id)
  elseif call('ZSCORE', outbox_key, id) then
    call('ZADD', outbox_key, now_text, id)
    out[#out + 1] = id
  end
end

local reply, given, bytes, done = {}, 0, 0, {}
for _, id in ipairs(out) do
  if given >= most or bytes >= max_bytes then break end
  if not done[id] and call('ZSCORE', outbox_key, id) then
    done[id] = true
    local job = read_hash(job_key(id), 'state', 'result')
    local letter = not job.err and ENDED[job[1]] and LETTER[job[1]] or not job[1] and 'g'
    local children = letter and call('ZRANGE', children_of(id), 0, most - given - 1, 'WITHSCORES') or {}
    if not letter then -- it has another life: its children will hear of that one's end
      call('ZREM', outbox_key, id)
    elseif #children == 0 then
      finish(id)
    else
      local result = letter == 'c' and job[2] or ''
      local n = #reply
      reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = id, letter, result, #children / 2
      for i = 1, #children do
        reply[n + 4 + i] = children[i]
      end
      given = given + #children / 2
      bytes = bytes + #result
      call('ZADD', outbox_key, whole(now + LEASE), id)
    end
  end
end
return reply
