#!lua flags=allow-oom
-- settle: write what became of attempts, and let their locks go. Numbered.
--
-- Only the holder may: an item whose token is not the job's changes nothing and is counted. A job that is gone is not
-- made again. One that was asked to stop does not go back: it is cancelled instead. A job may have its queue rest.
--
-- keys: meta call(worker) line delayed locks completed failed cancelled purge outbox idle ring held
-- args: worker:str number:int rest
-- rest: per item  id  token  plan  cause  result  record  progress  checkpoint   ("" where there is none)
--       plan "state counter delay keep_rank reason rest" ("-" where not said; delay in ms; keep_rank 0 | 1; rest:
--       ms that the queue gives out no jobs, 0 for none)
--       cause one word; of a dead letter a second, the fingerprint of its error, if it has one
-- reply: one letter per item: o (ok), h (ok, and the outbox has something for its children), s (stale token), g (gone)
-- include: meta unique numbered lines wake forward ending

local WIDTH = 8
local KEPT = 20 -- attempts kept on a job
local LONGEST_REST = 3600000 -- ms that a handler may have its queue rest

local stored, old = answered('settle')
if old then
  return SUPERSEDED
end
if stored then
  return stored
end

-- What an item comes to, and the event that tells it; items of one call mostly share a few plans.
local plans = {}
local function read_plan(text)
  local plan = plans[text]
  if not plan then
    local state, counter, delay, keep_rank, reason, rest =
      string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%d+)$')
    reason = reason ~= '-' and reason or ''
    plan = {
      state = state, counter = counter ~= '-' and counter, delay = tonumber(delay), keep_rank = keep_rank == '1',
      reason = reason, event = '{"event":"' .. state .. '","job":"', tail = event_tail .. detail(reason) .. '}',
      rest = math.min(tonumber(rest), LONGEST_REST),
    }
    plans[text] = plan
  end
  return plan
end

-- The rank a job had; nil if that is none.
local function rank_of(text)
  local rank = tonumber(text or nil)
  return rank and rank == rank and whole(rank) or nil
end

read_meta()
local names = {}
for at = REST, #ARGV, WIDTH do
  names[#names + 1] = job_key(ARGV[at])
end
if not here(names) then
  return MOVING
end

-- First all is read, then written.
local letters, plan_of, jobs, back_to, seen, lines, stale = {}, {}, {}, {}, {}, {}, 0
for i, name in ipairs(names) do
  local at = REST + (i - 1) * WIDTH
  local token = ARGV[at + 1]
  local job = read_hash(name, 'token', 'starts', 'path', 'keep', 'cancel', 'unique', 'children')
  if job.err or not job[1] and call('EXISTS', name) == 0 then
    letters[i] = 'g'
  elseif token == '' or job[1] ~= token or seen[name] then
    letters[i] = 's'
    stale = stale + 1
  else
    letters[i] = 'o'
    seen[name] = true
    jobs[i] = job
    local plan = read_plan(ARGV[at + 2])
    if job[5] and (plan.state == 'waiting' or plan.state == 'delayed') then plan = read_plan('cancelled - 0 0 - 0') end
    plan_of[i] = plan
    if job[3] and job[3] ~= '' then need_line(lines, job[3]) end
    if job[6] then lines[#lines + 1] = unique_name(job[6]) end
    if plan.state == 'waiting' then
      local back = call('HMGET', name, 'prio', 'rank', 'handler', 'group', 'key')
      back[6] = path_of(back[3], back[4], back[5])
      back_to[i] = back
      need_line(lines, back[6])
    end
  end
end
if not here(lines) then
  return MOVING
end

local unlocked, purged, delayed, freed, outbox = {}, {}, {}, {}, {}
local ended = { completed = {}, failed = {}, cancelled = {} }
local put_back, first_due, rest = 0, nil, 0

for i, name in ipairs(names) do
  local job, plan = jobs[i], plan_of[i]
  if job then
    local at = REST + (i - 1) * WIDTH
    local id, cause, result, record = ARGV[at], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
    local progress, checkpoint = ARGV[at + 6], ARGV[at + 7]
    local starts, state, list = integer(job[2]) or 0, plan.state, ended[plan.state]
    local fields
    unlocked[#unlocked + 1] = id
    rest = math.max(rest, plan.rest)
    if list then
      fields = { 'state', state, 'token', '', 'finished_at', now_text }
      if result ~= '' then also(fields, 'result', result) end
      if plan.reason ~= '' then
        local word, fingerprint = string.match(cause, '^(%S*) ?(%S*)')
        also(fields, 'reason', plan.reason)
        also(fields, 'cause', word)
        if fingerprint ~= '' then also(fields, 'fingerprint', fingerprint) end
      end
      also(list, now_text, id)
      also(purged, purge_time(state, job[4]), id)
      if job[4] then count_ended(id, state, job[4]) end
      if job[6] then release(id, job[6]) end
      if job[7] then
        also(outbox, now_text, id)
        letters[i] = 'h'
      end
      call('PUBLISH', name, plan.event .. id .. plan.tail)
    elseif state == 'delayed' then
      local due = now + plan.delay
      fields = { 'state', state, 'token', '', 'due', whole(due) }
      also(delayed, whole(due), id)
      first_due = math.min(first_due or due, due)
      publish(id, 'delayed', ',"due":' .. whole(due) .. detail(cause))
    else
      local back = back_to[i]
      fields = { 'state', state, 'token', '', 'path', back[6] }
      stand(back[6], plan.keep_rank and rank_of(back[2]) or next_rank(integer(back[1])), id)
      put_back = put_back + 1
      publish(id, 'waiting', detail(cause))
    end
    if record ~= '' then also(fields, 'attempt:' .. whole(starts), record) end
    if progress ~= '' then also(fields, 'progress', progress) end
    if checkpoint ~= '' then also_checkpoint(fields, name, checkpoint) end
    call('HSET', name, unpack(fields))
    if plan.counter and type(redis.pcall('HINCRBY', name, plan.counter, 1)) == 'table' then
      call('HSET', name, plan.counter, '1') -- it was no number
    end
    if record ~= '' and starts > KEPT then call('HDEL', name, 'attempt:' .. whole(starts - KEPT)) end
    if job[3] and job[3] ~= '' then
      hold(job[3], -1)
      freed[job[3]] = (freed[job[3]] or 0) + 1
    end
  end
end

if #unlocked > 0 then call('ZREM', locks_key, unpack(unlocked)) end
add(completed_key, ended.completed)
add(failed_key, ended.failed)
add(cancelled_key, ended.cancelled)
add(purge_key, purged)
add(outbox_key, outbox)
if first_due and is_first_due(first_due) then put_back = math.max(put_back, 1) end
add(delayed_key, delayed)
line_up()

local admitted = admit_freed(freed)
keep_lines()
if queue_limit and #unlocked > 0 and backlog() then
  admitted = #unlocked -- room under the queue's own limit
end
if stale > 0 then call('HINCRBY', meta_key, 'stale', stale) end
keep_meta()
if rest > 0 then
  call('HSET', meta_key, 'held_until', whole(math.max(held_until or 0, now + rest)))
  wake(1) -- somebody must know when it ends
elseif not paused then
  wake(math.max(put_back, admitted))
end

local reply = table.concat(letters)
answer('settle', reply)
return reply
