-- include: states schedule
--
-- Enqueueing the job of a tick.

local function need_schedule(names, said)
  names[#names + 1] = schedules_key
  names[#names + 1] = schedule_of(said.schedule)
end

-- The job of the tick before, where that matters, for the pre-flight.
local function need_last(names, said)
  local last = said.alone and call('HGET', schedule_of(said.schedule), 'last')
  if last then names[#names + 1] = job_key(last) end
end

local function has_ended(id)
  local job = read_hash(job_key(id), 'state')
  return job.err or not job[1] or ENDED[job[1]]
end

-- True if the tick is to become this job. The schedule goes on to its next tick, also if this one is left out because
-- the job before has not ended.
local function fire(id, said)
  if not is_next(said.schedule, said.tick, said.rev) then
    return false
  end
  local name = schedule_of(said.schedule)
  call('ZADD', schedules_key, said.next, said.schedule)
  local last = said.alone and call('HGET', name, 'last')
  if last and last ~= id and not has_ended(last) then
    call('HINCRBY', name, 'skipped', 1)
    return false
  end
  call('HSET', name, 'last', id)
  call('HINCRBY', name, 'fired', 1)
  return true
end
