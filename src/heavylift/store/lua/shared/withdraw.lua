-- include: states keeping
--
-- Taking jobs out of wherever they are, and putting them in line; for verbs that move a job whoever holds it.

local FIELDS = {
  'state', 'path', 'keep', 'prio', 'handler', 'group', 'key', 'expires', 'worker', 'due', 'finished_at', 'reason',
  'flow', 'after', 'policy', 'lives', 'children', 'enqueued_at', 'unique',
}

-- The jobs by id, `false` for those that do not exist or are no hash; nil if a key of one is not here.
local function survey(ids)
  local names = {}
  for i, id in ipairs(ids) do
    names[i] = job_key(id)
  end
  if not here(names) then
    return nil
  end
  local jobs, lines = {}, {}
  for i, id in ipairs(ids) do
    local read = read_hash(names[i], unpack(FIELDS))
    local job = not read.err and read[1] and {} or false
    if job then
      for f, name in ipairs(FIELDS) do
        job[name] = read[f] or nil
      end
      job.path = job.path or ''
      if ENDED[job.state] then lines[#lines + 1] = counted_in(job.state, job.keep, job.handler) end
      if job.unique then lines[#lines + 1] = unique_name(job.unique) end
      need_line(lines, job.path)
      need_line(lines, path_of(job.handler, job.group, job.key))
      need_flow(lines, id, job)
    end
    jobs[id] = job
  end
  if not here(lines) then
    return nil
  end
  return jobs
end

-- The one job of a verb; or nil, and what the verb answers: a key has moved, or there is no such job.
local function single(id)
  local jobs = survey({ id })
  if not jobs then
    return nil, MOVING
  end
  return jobs[id] or nil, nil
end

-- Out of the line or set its state stands for. Not for active jobs: those are their holders'.
local function withdraw(id, job)
  local state = job.state
  if state == 'waiting' then
    leave(job.path, id)
  elseif state == 'delayed' then
    call('ZREM', delayed_key, id)
  elseif state == 'blocked' then
    call('ZREM', blocked_key, id)
  elseif ENDED[state] then
    call('ZREM', base .. state, id)
    call('ZREM', purge_key, id)
    local counted = counted_in(state, job.keep, job.handler)
    if counted then call('ZREM', counted, id) end
  end
  if job.expires then call('ZREM', expiring_key, id) end
end

-- Removed, with all that is kept of it. Children that were not told yet learn from the outbox that it is gone.
local function erase(id, job)
  call('UNLINK', job_key(id), base .. 'raw:' .. id)
  if job.after then call('UNLINK', pending_of(id), parents_of(id)) end
  if job.flow then call('ZREM', flow_of(job.flow), id) end
  if job.children then call('ZADD', outbox_key, now_text, id) end
end

-- Into its line, at the end of it; or back to waiting for those of its parents that have not completed. These are asked
-- anew, by `tend`, but not at once: they may get another life only after this one does.
local function queue_up(id, job)
  if job.after and call('EXISTS', pending_of(id)) == 1 then
    call('HSET', job_key(id), 'state', 'blocked', 'lives', whole((integer(job.lives) or 0) + 1))
    job.state = 'blocked'
    call('ZUNIONSTORE', pending_of(id), 1, pending_of(id), 'WEIGHTS', 0)
    call('ZADD', blocked_key, whole(now + LOOK_AFTER), id)
    publish(id, 'blocked')
    return
  end
  local path = path_of(job.handler, job.group, job.key)
  job.state = 'waiting'
  call('HSET', job_key(id), 'state', 'waiting', 'path', path)
  stand(path, next_rank(integer(job.prio)), id)
  publish(id, 'waiting')
end
