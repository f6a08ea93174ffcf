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
    local job = read_hash(names[i], 'state', 'due', 'prio', 'handler', 'group', 'key', 'unique')
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
    if job.err or not job[1] then
      quarantine(id, job[7])
    elseif job[1] == 'delayed' then
      publish(id, 'waiting')
      call('HSET', job_key(id), 'state', 'waiting', 'path', due.path)
      stand(due.path, whole((integer(job[2]) or now) * 1000 + i - 1 + (integer(job[3]) or 0) * step), id)
    end
    call('ZREM', delayed_key, id)
  end
  line_up()
end

-- Lets the lines and groups in that have tokens again, at most `limit`. How many are left of these; nil if a key of
-- theirs is not here.
local function open_gate(limit)
  local open = call('ZRANGEBYSCORE', gate_key, '-inf', now_text, 'LIMIT', 0, limit)
  local names, paths, groups = {}, {}, {}
  for _, member in ipairs(open) do
    if string.find(member, '/', 1, true) then
      paths[member] = true
      need_line(names, member)
    else
      groups[#groups + 1] = member
      names[#names + 1] = ring_of(member)
    end
  end
  if not here(names) then
    return nil
  end
  if #open > 0 then call('ZREM', gate_key, unpack(open)) end
  admit_each(paths)
  for _, group in ipairs(groups) do
    admit_group(group)
  end
  return limit - #open
end

-- Jobs that got ready while nothing was limited go into their lines, at most `limit`. How many are left of these; nil
-- if a key is not here.
local function sort_out(limit)
  local found = call('ZRANGE', line_key, 0, limit - 1, 'WITHSCORES')
  local names, lines, sorted = {}, {}, {}
  for i = 1, #found, 2 do
    names[#names + 1] = job_key(found[i])
  end
  if not here(names) then
    return nil
  end
  for i, name in ipairs(names) do
    local job = read_hash(name, 'state', 'handler', 'group', 'key')
    local path = job.err and '/' or path_of(job[2], job[3], job[4])
    sorted[i] = { path = path, whole = not job.err and job[1] == 'waiting' }
    need_line(lines, path)
  end
  if not here(lines) then
    return nil
  end
  for i, name in ipairs(names) do
    if sorted[i].whole then call('HSET', name, 'path', sorted[i].path) end
    stand(sorted[i].path, found[i * 2], found[i * 2 - 1])
  end
  if #names > 0 then call('ZREMRANGEBYRANK', line_key, 0, #names - 1) end
  line_up()
  return limit - #names
end
