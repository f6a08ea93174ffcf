#!lua flags=allow-oom
-- settle: write what became of attempts, and let their locks go. Numbered.
--
-- Only the holder may: an item whose token is not the job's changes nothing and is counted. A job that is gone is not
-- made again. One that was asked to stop does not go back: it is cancelled instead.
--
-- keys: meta call(worker) line delayed locks completed failed cancelled purge idle ring held
-- args: worker:str number:int rest
-- rest: per item  id  token  plan  cause  result  record  progress  checkpoint   ("" where there is none)
--       plan "state counter delay keep_rank reason" ("-" where not said; delay in ms; keep_rank 0 | 1)
-- reply: one letter per item: o (ok), s (stale token), g (gone)
-- include: meta numbered lines wake ending

local WIDTH = 8
local KEPT = 20 -- attempts kept on a job

local stored, old = answered('settle')
if old then
  return SUPERSEDED
end
if stored then
  return stored
end

local plans = {}
local function read_plan(text)
  local plan = plans[text]
  if not plan then
    local state, counter, delay, keep_rank, reason = string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
    plan = {
      state = state, counter = counter ~= '-' and counter, delay = tonumber(delay), keep_rank = keep_rank == '1',
      reason = reason ~= '-' and reason or '',
    }
    plans[text] = plan
  end
  return plan
end

local CANCELLED = { state = 'cancelled', counter = false, reason = '' }

read_meta()
local names = {}
for at = REST, #ARGV, WIDTH do
  names[#names + 1] = job_key(ARGV[at])
end
if not here(names) then
  return MOVING
end

-- First all is read, then written.
local letters, jobs, seen, lines, stale = {}, {}, {}, {}, 0
for i, name in ipairs(names) do
  local at = REST + (i - 1) * WIDTH
  local token = ARGV[at + 1]
  local job = redis.pcall('HMGET', name, 'token', 'starts', 'cancel', 'keep', 'path')
  if job.err or not job[1] and call('EXISTS', name) == 0 then
    letters[i] = 'g'
  elseif token == '' or job[1] ~= token or seen[name] then
    letters[i] = 's'
    stale = stale + 1
  else
    letters[i] = 'o'
    seen[name] = true
    local plan = read_plan(ARGV[at + 2])
    if job[3] and (plan.state == 'waiting' or plan.state == 'delayed') then plan = CANCELLED end
    job.plan = plan
    job.path = job[5] or ''
    if job.path ~= '' then need_line(lines, job.path) end
    if plan.state == 'waiting' then
      local more = call('HMGET', name, 'prio', 'rank', 'handler', 'group', 'key')
      job.prio, job.rank = more[1], more[2]
      job.back_to = path_of(more[3], more[4], more[5])
      need_line(lines, job.back_to)
    end
    jobs[i] = job
  end
end
if not here(lines) then
  return MOVING
end

local unlocked, purged, delayed, freed = {}, {}, {}, {}
local ended = { completed = {}, failed = {}, cancelled = {} }
local put_back, first_due = 0, nil

for i, name in ipairs(names) do
  local job = jobs[i]
  if job then
    local at = REST + (i - 1) * WIDTH
    local id, cause, result, record = ARGV[at], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
    local progress, checkpoint = ARGV[at + 6], ARGV[at + 7]
    local plan, starts = job.plan, job[2] or '0'
    local state = plan.state
    local fields = { 'state', state, 'token', '' }
    if record ~= '' then also(fields, 'attempt:' .. starts, record) end
    if progress ~= '' then also(fields, 'progress', progress) end
    if checkpoint ~= '' then also(fields, 'checkpoint', checkpoint) end
    unlocked[#unlocked + 1] = id
    if job.path ~= '' then
      hold(job.path, -1)
      freed[job.path] = true
    end

    if ended[state] then
      also(fields, 'finished_at', now_text)
      if result ~= '' then also(fields, 'result', result) end
      if plan.reason ~= '' then also(fields, 'reason', plan.reason) end
      also(ended[state], now_text, id)
      also(purged, purge_time(state, job[4]), id)
      publish(id, state, detail(plan.reason))
    elseif state == 'delayed' then
      local due = now + plan.delay
      also(fields, 'due', whole(due))
      also(delayed, whole(due), id)
      first_due = math.min(first_due or due, due)
      publish(id, 'delayed', ',"due":' .. whole(due) .. detail(cause))
    else
      also(fields, 'path', job.back_to)
      stand(job.back_to, plan.keep_rank and job.rank or next_rank(job.prio), id)
      put_back = put_back + 1
      publish(id, 'waiting', detail(cause))
    end
    call('HSET', name, unpack(fields))
    if plan.counter then call('HINCRBY', name, plan.counter, 1) end
    if record ~= '' and tonumber(starts) > KEPT then call('HDEL', name, 'attempt:' .. whole(starts - KEPT)) end
  end
end

if #unlocked > 0 then call('ZREM', locks_key, unpack(unlocked)) end
add(completed_key, ended.completed)
add(failed_key, ended.failed)
add(cancelled_key, ended.cancelled)
add(purge_key, purged)
if first_due and is_first_due(first_due) then put_back = math.max(put_back, 1) end
add(delayed_key, delayed)
line_up()

local admitted = 0
for path in pairs(freed) do
  if admit(path) then admitted = admitted + 1 end
end
if queue_limit and #unlocked > 0 and backlog() then
  admitted = #unlocked -- room under the queue's own limit
end
if stale > 0 then call('HINCRBY', meta_key, 'stale', stale) end
keep_meta()
if not paused then wake(math.max(put_back, admitted)) end

local reply = table.concat(letters)
answer('settle', reply)
return reply
