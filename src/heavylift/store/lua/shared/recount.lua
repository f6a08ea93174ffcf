-- include: lines
--
-- Jobs that were deleted by hand while they ran gave nothing back. Once more is held than runs, it is counted anew.

local COUNTED = 2000 -- running jobs read at most

local function recount()
  local stored, sum = call('HGETALL', held_key), 0
  local before = {}
  for i = 1, #stored, 2 do
    before[stored[i]] = tonumber(stored[i + 1]) or 0
    if not string.find(stored[i], '/', 1, true) then sum = sum + before[stored[i]] end
  end
  local running = call('ZCARD', locks_key)
  if sum <= running or running > COUNTED then
    return
  end
  local now_held, names, lines = {}, {}, {}
  for i, id in ipairs(call('ZRANGE', locks_key, 0, -1)) do
    names[i] = job_key(id)
  end
  for field in pairs(before) do
    need_line(lines, string.find(field, '/', 1, true) and field or field .. '/')
  end
  if not (here(names) and here(lines)) then
    return
  end
  for _, name in ipairs(names) do
    local job = read_hash(name, 'state', 'path')
    local path = not job.err and job[1] == 'active' and job[2] or ''
    if path ~= '' then
      local group = group_of(path)
      now_held[group] = (now_held[group] or 0) + 1
      if has_key(path) then now_held[path] = (now_held[path] or 0) + 1 end
    end
  end
  for field, count in pairs(before) do
    local right = now_held[field] or 0
    helds[field] = right
    if right == 0 then
      call('HDEL', held_key, field)
    elseif right ~= count then
      call('HSET', held_key, field, right)
    end
    if by_lines and right < count then admit(string.find(field, '/', 1, true) and field or field .. '/') end
  end
end
