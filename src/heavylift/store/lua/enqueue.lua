#!lua
-- enqueue: put jobs into the queue, each exactly once.
--
-- A job whose id exists is left as it is and reported as a duplicate, unless it carries this call's own nonce: then
-- the reply of the first try was lost, and the job is ours. Refused as a whole while Redis is full (no allow-oom).
--
-- keys: meta line delayed expiring idle ring
-- args: nonce:str rest
-- rest: per job  id  handler  envelope  options
--       options "" or "priority delay due expires keep group key" ("-" where not said; times in ms, due absolute)
-- reply: one letter per job: w d (waiting, delayed) ours; a c f x b (active, completed, failed, cancelled, blocked)
--        ours, enqueued by an earlier try; the same letter as a capital: a duplicate, in that state
-- include: rank path wake

local LETTER = {
  waiting = 'w', delayed = 'd', blocked = 'b', active = 'a', completed = 'c', failed = 'f', cancelled = 'x',
}
local WIDTH = 4
local count = (#ARGV - REST + 1) / WIDTH

local names = {}
for i = 1, count do
  names[i] = job_key(ARGV[REST + (i - 1) * WIDTH])
end
if not here(names) then
  return MOVING
end
local some_exist = call('EXISTS', unpack(names)) > 0

local letters, seen = {}, {}
for i = 1, count do
  local name = names[i]
  if seen[name] then
    letters[i] = 'W'
  elseif some_exist then
    local job = redis.pcall('HMGET', name, 'nonce', 'state')
    if job.err then
      letters[i] = 'F' -- something else stands under this key
    elseif job[1] == nonce .. '.' .. i then
      letters[i] = LETTER[job[2]] or 'f'
    elseif job[1] or job[2] or call('EXISTS', name) == 1 then
      letters[i] = string.upper(LETTER[job[2]] or 'f')
    end
  end
  seen[name] = true
end

local meta = call('HMGET', meta_key, 'paused', 'mode', 'rank', 'step')
by_lines = meta[2] == 'lines'
if by_lines then
  local lines = {}
  need_line(lines, '')
  for i = 1, count do
    if not letters[i] then
      local at = REST + (i - 1) * WIDTH
      local group, key = string.match(ARGV[at + 3], '(%S+) (%S+)$')
      need_line(lines, path_of(ARGV[at + 1], group, key))
    end
  end
  if not here(lines) then
    return MOVING
  end
end

local ready, delayed, expiring = {}, {}, {}
local waiting, first_due = 0, nil
for i = 1, count do
  if not letters[i] then
    local at = REST + (i - 1) * WIDTH
    local id, handler, envelope, said = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    local name, own_nonce = names[i], nonce .. '.' .. i
    if said == '' and not by_lines then
      call('HSET', name, 'state', 'waiting', 'handler', handler, 'spec', envelope, 'nonce', own_nonce, 'enqueued_at', now)
      ready[#ready + 1] = next_rank(0, meta[3], meta[4])
      ready[#ready + 1] = id
      publish(id, 'waiting')
      waiting = waiting + 1
      letters[i] = 'w'
    else
      local priority, delay, due, expires, keep, group, key =
        string.match(said, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
      priority = tonumber(priority) or 0
      due = tonumber(due) or (now + (tonumber(delay) or 0))
      expires = tonumber(expires)
      local fields = { 'handler', handler, 'spec', envelope, 'nonce', own_nonce, 'enqueued_at', now }
      local function field(field_name, value)
        fields[#fields + 1] = field_name
        fields[#fields + 1] = value
      end
      if priority ~= 0 then field('prio', priority) end
      if tonumber(keep) then field('keep', keep) end
      if group and group ~= '-' then field('group', group) end
      if key and key ~= '-' then field('key', key) end
      if expires then
        field('expires', now + expires)
        expiring[#expiring + 1] = now + expires
        expiring[#expiring + 1] = id
      end
      if due > now then
        call('HSET', name, 'state', 'delayed', 'due', due, unpack(fields))
        delayed[#delayed + 1] = due
        delayed[#delayed + 1] = id
        first_due = math.min(first_due or due, due)
        publish(id, 'delayed', ',"due":' .. due)
        letters[i] = 'd'
      else
        local path = by_lines and path_of(handler, group, key) or ''
        call('HSET', name, 'state', 'waiting', 'path', path, unpack(fields))
        local rank = next_rank(priority, meta[3], meta[4])
        if path == '' then
          ready[#ready + 1] = rank
          ready[#ready + 1] = id
        else
          stand(path, rank, id)
        end
        publish(id, 'waiting')
        waiting = waiting + 1
        letters[i] = 'w'
      end
    end
  end
end

if #ready > 0 then
  call('ZADD', line_key, unpack(ready))
  if by_lines then admit('') end
end
if by_lines then admit_all() end
if #expiring > 0 then call('ZADD', expiring_key, unpack(expiring)) end
if #delayed > 0 then
  call('ZADD', delayed_key, unpack(delayed))
  -- A sleeper planned its sleep without knowing of this one: let one look again.
  if waiting == 0 and tonumber(call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')[2]) >= first_due then waiting = 1 end
end
keep_last_rank()
if not meta[1] then wake(waiting) end
return table.concat(letters)
