-- Lines and rings: which jobs may run, where groups or keys have concurrency limits.
--
-- A job stands in the line of its path, "<group>/<key>" ("" for jobs that got ready while nothing was limited). The
-- ring of a group holds those of its lines that may run, by the rank of their first job; the ring of the queue holds
-- the groups that may run, by the best rank in theirs. A line or group that is empty or full (held = limit) stands in
-- no ring, so a job that may not run is never looked at; what lowers `held` admits the line again.

local function group_of(path)
  return string.match(path, '^[^/]*')
end

local function has_key(path)
  return path ~= '' and string.sub(path, -1) ~= '/'
end

-- Where a job belongs that gets ready now. Its group is its handler, if it names none.
local function path_of(handler, group, key)
  if not by_lines then
    return ''
  end
  return (group or handler or '') .. '/' .. (key or '')
end

local function line_of(path)
  return base .. 'line:' .. path
end

local function ring_of(group)
  return base .. 'ring:' .. group
end

-- Adds to `names` the keys touched by whatever moves jobs in or out of `path`'s line, for the pre-flight.
local function need_line(names, path)
  if path ~= '' or by_lines then
    names[#names + 1] = line_of(path)
    names[#names + 1] = ring_of(group_of(path))
  end
end

-- Concurrency limits of a group: its own, and that of each of its keys; nil where there is none.
local limits_read = { [''] = {} }
local function limits_of(group)
  local limits = limits_read[group]
  if not limits then
    local said = call('HMGET', meta_key, 'limit:' .. group, 'limit:' .. group .. '/*')
    limits = { group = tonumber(said[1]), key = tonumber(said[2]) }
    limits_read[group] = limits
  end
  return limits
end

local function is_full(limit, field)
  return limit ~= nil and (tonumber(call('HGET', held_key, field)) or 0) >= limit
end

-- Put `member` into `ring` with the rank of the first in `source`, or take it out if that is empty or may not run.
local function place(ring, member, source, full)
  local first = not full and call('ZRANGE', source, 0, 0, 'WITHSCORES') or {}
  if first[1] then
    call('ZADD', ring, first[2], member)
    return true
  end
  call('ZREM', ring, member)
  return false
end

local function admit_line(path, group)
  return place(ring_of(group), path, line_of(path), has_key(path) and is_full(limits_of(group).key, path))
end

local function admit_group(group)
  return place(ring_key, group, ring_of(group), is_full(limits_of(group).group, group))
end

-- Bring the rings up to date after `path`'s line, or what it holds, has changed.
local function admit(path)
  local group = group_of(path)
  admit_line(path, group)
  admit_group(group)
end

-- The same for many paths, the keys of `paths`; each group once. Returns how many of them may run now.
local function admit_each(paths)
  local runs = {}
  for path in pairs(paths) do
    local group = group_of(path)
    runs[group] = (runs[group] or 0) + (admit_line(path, group) and 1 or 0)
  end
  local sum = 0
  for group, count in pairs(runs) do
    if admit_group(group) then sum = sum + count end
  end
  return sum
end

-- Jobs about to stand in line, by path; `line_up` puts them there.
local standing = {}
local function stand(path, rank, id)
  local line = standing[path]
  if not line then
    line = {}
    standing[path] = line
  end
  also(line, rank, id)
end

local function line_up()
  for path, line in pairs(standing) do
    add(line_of(path), line)
    if path ~= '' then lined = lined + #line / 2 end
  end
  if by_lines then admit_each(standing) end
end

-- A waiting job leaves its line.
local function leave(path, id)
  local left = call('ZREM', line_of(path), id)
  if path ~= '' then lined = lined - left end
  if by_lines then admit(path) end
end

-- What runs is counted per group, and per path where there is a key. Jobs of path "" came before there were limits.
local function hold(path, change)
  if path == '' then
    return
  end
  local group = group_of(path)
  if call('HINCRBY', held_key, group, change) <= 0 then call('HDEL', held_key, group) end
  if has_key(path) and call('HINCRBY', held_key, path, change) <= 0 then call('HDEL', held_key, path) end
end

-- Whether any job may run, as far as groups and keys are concerned.
local function backlog()
  return call('EXISTS', by_lines and ring_key or line_key) == 1
end
