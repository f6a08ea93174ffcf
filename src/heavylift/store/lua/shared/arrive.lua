-- What the end of a parent does to its child.

local HANDED = 1048576 -- bytes of parents' results kept with a job; what comes later is read from the parent itself

local awake = 0 -- workers needed for what got ready

local function end_child(id, job, state, reason)
  end_job(id, state, reason, job.keep, job.unique)
  withdraw(id, job)
  job.state = state
end

-- Its last parent has ended.
local function ready(id, job)
  if job.policy == 'require' and not call('HGET', parents_of(id), 'failed') then
    return end_child(id, job, 'cancelled', 'parents_completed')
  end
  call('ZREM', blocked_key, id)
  local due = integer(job.due)
  if due and due > now then
    job.state = 'delayed'
    call('HSET', job_key(id), 'state', 'delayed')
    if is_first_due(due) then awake = awake + 1 end
    call('ZADD', delayed_key, whole(due), id)
    publish(id, 'delayed', ',"due":' .. whole(due))
  else
    queue_up(id, job)
    awake = awake + 1
  end
end

-- One of its parents has ended. One that has not completed stays pending where that ends the job: its retry waits
-- for it again.
local function arrive(id, job, parent, how, result)
  local policy = job.policy
  if how ~= 'c' and policy ~= 'run' and policy ~= 'require' then
    if job.state == 'blocked' then
      call('HSET', job_key(id), 'blame', parent .. ' ' .. how)
      end_child(id, job, policy == 'cancel' and 'cancelled' or 'failed', 'parent_failed')
    end
    return
  end
  local parents = parents_of(id)
  call('ZREM', pending_of(id), parent)
  local place = string.match(call('HGET', parents, parent) or '', '^%d+') or '0'
  if how ~= 'c' then
    call('HSET', parents, 'failed', '1')
  elseif #result + (integer(call('HGET', parents, 'bytes')) or 0) > HANDED then
    how, result = 'C', ''
  else
    call('HINCRBY', parents, 'bytes', #result)
  end
  call('HSET', parents, parent, place .. ' ' .. how .. result)
  if job.state == 'blocked' and call('EXISTS', pending_of(id)) == 0 then ready(id, job) end
end
