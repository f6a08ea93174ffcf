-- Taking jobs out of wherever they are, and putting them in line; for verbs that move a job whoever holds it.

local FIELDS = { 'state', 'path', 'keep', 'prio', 'handler', 'group', 'key', 'expires', 'worker', 'spec', 'unique' }
local ENDED = { completed = true, failed = true, cancelled = true }

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
    local read = redis.pcall('HMGET', names[i], unpack(FIELDS))
    local job = not read.err and read[1] and {} or false
    if job then
      for f, name in ipairs(FIELDS) do
        job[name] = read[f] or nil
      end
      job.path = job.path or ''
      if job.unique then lines[#lines + 1] = unique_name(job.unique) end
      need_line(lines, job.path)
      need_line(lines, path_of(job.handler, job.group, job.key))
    end
    jobs[id] = job
  end
  if not here(lines) then
    return nil
  end
  return jobs
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
  end
  if job.expires then call('ZREM', expiring_key, id) end
end

-- Into its line, at the end of it.
local function queue_up(id, job)
  local path = path_of(job.handler, job.group, job.key)
  call('HSET', job_key(id), 'state', 'waiting', 'path', path)
  stand(path, next_rank(integer(job.prio)), id)
  publish(id, 'waiting')
end
