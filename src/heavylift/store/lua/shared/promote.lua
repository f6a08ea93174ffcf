-- Delayed jobs that are due become waiting, at the rank of their due time.

-- Reads the due ones, at most `limit`; nil if a key of theirs is not here. Writes nothing.
local function find_due(limit)
  local ids = call('ZRANGEBYSCORE', delayed_key, '-inf', now, 'LIMIT', 0, limit)
  local names = {}
  for i, id in ipairs(ids) do
    names[i] = job_key(id)
  end
  if not here(names) then
    return nil
  end
  local found, lines = {}, {}
  for i, id in ipairs(ids) do
    local job = redis.pcall('HMGET', names[i], 'state', 'due', 'prio', 'handler', 'group', 'key')
    local path = ''
    if by_lines and not job.err and job[4] then
      path = path_of(job[4], job[5], job[6])
      need_line(lines, path)
    end
    found[i] = { id = id, job = job, path = path }
  end
  if by_lines then need_line(lines, '') end
  if not here(lines) then
    return nil
  end
  return found
end

-- Moves what `find_due` found. Ready since their due time: an old retry does not go behind a newer job.
local function promote(found, meta_step)
  local ready = {}
  for i, due in ipairs(found) do
    call('ZREM', delayed_key, due.id)
    if due.job.err or due.job[1] ~= 'delayed' then
      if due.job.err or not due.job[1] then quarantine(due.id) end
    else
      local rank = (tonumber(due.job[2]) or now) * 1000 + (i - 1) + (tonumber(due.job[3] or 0) * step_of(meta_step))
      call('HSET', job_key(due.id), 'state', 'waiting', 'path', due.path)
      if due.path == '' then
        ready[#ready + 1] = rank
        ready[#ready + 1] = due.id
      else
        stand(due.path, rank, due.id)
      end
      publish(due.id, 'waiting')
    end
  end
  if #ready > 0 then
    call('ZADD', line_key, unpack(ready))
    if by_lines then admit('') end
  end
  if by_lines then admit_all() end
end
