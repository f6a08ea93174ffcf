#!lua flags=allow-oom
-- settle: write what became of attempts, and let their locks go. Numbered.
--
-- Only the holder may: an item whose token is not the job's changes nothing and is counted. A job that is gone is not
-- made again. One that was asked to stop does not go back: it is cancelled instead.
--
-- keys: meta call(worker) line delayed locks completed failed cancelled purge idle ring held
-- args: worker:str number:int rest
-- rest: per item  id  token  plan  detail  result  record  progress  checkpoint   ("" where there is none)
--       plan "state counter delay keep_rank reason" ("-" where not said; delay in ms; keep_rank 0 | 1)
-- reply: one letter per item: o (ok), s (stale token), g (gone)
-- include: numbered rank path hold wake retention

local WIDTH = 8
local KEPT = 20 -- attempts kept on a job

local stored, old = answered('settle')
if old then
  return SUPERSEDED
end
if stored then
  return stored
end

local count = (#ARGV - REST + 1) / WIDTH
local names = {}
for i = 1, count do
  names[i] = job_key(ARGV[REST + (i - 1) * WIDTH])
end
if not here(names) then
  return MOVING
end

local meta = call('HMGET', meta_key, 'paused', 'mode', 'limit', 'rank', 'step')
by_lines = meta[2] == 'lines'

-- First read everything, then write.
local letters, jobs, seen, lines, stale = {}, {}, {}, {}, 0
for i = 1, count do
  local job = redis.pcall('HMGET', names[i], 'token', 'starts', 'cancel', 'keep', 'path', 'prio', 'rank', 'handler',
    'group', 'key', 'state')
  local token = ARGV[REST + (i - 1) * WIDTH + 1]
  if job.err or not job[11] then
    letters[i] = 'g'
  elseif token == '' or job[1] ~= token or seen[names[i]] then
    letters[i] = 's'
    stale = stale + 1
  else
    letters[i] = 'o'
    seen[names[i]] = true
    jobs[i] = job
    if job[5] and job[5] ~= '' then need_line(lines, job[5]) end
    if by_lines and job[8] then need_line(lines, path_of(job[8], job[9], job[10])) end
  end
end
if by_lines then need_line(lines, '') end
if not here(lines) then
  return MOVING
end

local unlocked, purged, delayed, ready, freed = {}, {}, {}, {}, {}
local ended = { completed = {}, failed = {}, cancelled = {} }
local put_back, first_due = 0, nil

local function also(list, score, id)
  list[#list + 1] = score
  list[#list + 1] = id
end

for i = 1, count do
  local job = jobs[i]
  if job then
    local at = REST + (i - 1) * WIDTH
    local id, plan, cause = ARGV[at], ARGV[at + 2], ARGV[at + 3]
    local result, record, progress, checkpoint = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
    local state, counter, delay, keep_rank, reason = string.match(plan, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
    local starts = tonumber(job[2] or 0)
    if job[3] and (state == 'waiting' or state == 'delayed') then
      state, reason = 'cancelled', '-'
    end

    local fields = { 'state', state, 'token', '' }
    local n = 4
    local function field(field_name, value)
      fields[n + 1], fields[n + 2] = field_name, value
      n = n + 2
    end
    if record ~= '' then field('attempt:' .. starts, record) end
    if progress ~= '' then field('progress', progress) end
    if checkpoint ~= '' then field('checkpoint', checkpoint) end
    unlocked[#unlocked + 1] = id
    if job[5] and job[5] ~= '' then
      hold(job[5], -1)
      freed[job[5]] = true
    end

    if ended[state] then
      field('finished_at', now)
      if result ~= '' then field('result', result) end
      if reason ~= '-' then field('reason', reason) end
      also(ended[state], now, id)
      also(purged, purge_time(state, job[4]), id)
      publish(id, state, reason ~= '-' and detail(reason) or nil)
    elseif state == 'delayed' then
      local due = now + tonumber(delay)
      field('due', due)
      also(delayed, due, id)
      first_due = math.min(first_due or due, due)
      publish(id, 'delayed', ',"due":' .. due .. (cause ~= '' and detail(cause) or ''))
    else
      local rank = keep_rank == '1' and tonumber(job[7]) or next_rank(tonumber(job[6] or 0), meta[4], meta[5])
      local path = by_lines and path_of(job[8], job[9], job[10]) or ''
      field('path', path)
      if path == '' then also(ready, rank, id) else stand(path, rank, id) end
      put_back = put_back + 1
      publish(id, 'waiting', cause ~= '' and detail(cause) or nil)
    end
    call('HSET', names[i], unpack(fields))
    if counter ~= '-' then call('HINCRBY', names[i], counter, 1) end
    if record ~= '' and starts > KEPT then call('HDEL', names[i], 'attempt:' .. (starts - KEPT)) end
  end
end

if #unlocked > 0 then call('ZREM', locks_key, unpack(unlocked)) end
if #ended.completed > 0 then call('ZADD', completed_key, unpack(ended.completed)) end
if #ended.failed > 0 then call('ZADD', failed_key, unpack(ended.failed)) end
if #ended.cancelled > 0 then call('ZADD', cancelled_key, unpack(ended.cancelled)) end
if #purged > 0 then call('ZADD', purge_key, unpack(purged)) end
if #ready > 0 then
  call('ZADD', line_key, unpack(ready))
  if by_lines then admit('') end
end
if #delayed > 0 then
  call('ZADD', delayed_key, unpack(delayed))
  if put_back == 0 and tonumber(call('ZRANGE', delayed_key, 0, 0, 'WITHSCORES')[2]) >= first_due then put_back = 1 end
end
admit_all()
local admitted = 0
for path in pairs(freed) do
  if admit(path) then admitted = admitted + 1 end
end
if meta[3] and #unlocked > 0 and call('EXISTS', by_lines and ring_key or line_key) == 1 then
  admitted = math.max(admitted, #unlocked) -- room under the queue's own limit
end
if stale > 0 then call('HINCRBY', meta_key, 'stale', stale) end
keep_last_rank()
if not meta[1] then wake(math.max(put_back, admitted)) end

local reply = table.concat(letters)
answer('settle', reply)
return reply
