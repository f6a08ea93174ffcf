-- Delayed jobs that are due become waiting, at the rank of their due time.

-- The due ones, at most `limit`, read; nil if a key of theirs is not here. Writes nothing.
local function find_due(limit)
  local ids = call('ZRANGEBYSCORE', delayed_key, '-inf', now_text, 'LIMIT', 0, limit)
  local names = {}
  for i, id in ipairs(ids) do
    names[i] = job_key(id)
  end
  if not here(names) then
    return nil
  end
  local found, lines = {}, {}
  for i, id in ipairs(ids) do
    local job = redis.pcall('HMGET', names[i], 'state', 'due', 'prio', 'handler', 'group', 'key', 'unique')
    local path = path_of(job[4], job[5], job[6])
    need_line(lines, path)
    if job[7] then lines[#lines + 1] = unique_name(job[7]) end
    found[i] = { id = id, job = job, path = path }
  end
  if not here(lines) then
    return nil
  end
  return found
end

-- Moves what `find_due` found. Ready since their due time: an old retry does not go behind a newer job.
local function promote(found)
  for i, due in ipairs(found) do
    local id, job = due.id, due.job
    call('ZREM', delayed_key, id)
    if job.err or not job[1] then
      quarantine(id, job[7])
    elseif job[1] == 'delayed' then
      call('HSET', job_key(id), 'state', 'waiting', 'path', due.path)
      stand(due.path, whole((integer(job[2]) or now) * 1000 + i - 1 + (integer(job[3]) or 0) * step), id)
      publish(id, 'waiting')
    end
  end
  line_up()
end
