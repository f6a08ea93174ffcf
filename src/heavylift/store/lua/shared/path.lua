-- Lines and the ring: which jobs may run, where groups or keys have concurrency limits.
--
-- A job stands in the line of its path, "<group>/<key>" ("" for jobs that came while nothing was limited). The ring
-- of a group holds those of its lines that may run, by the rank of their first job; the ring of the queue holds the
-- groups that may run, by the best rank in theirs. A line or group that is empty or full (held = limit) stands in no
-- ring, so a job that may not run is never looked at; what lowers `held` admits the line again. Path "" is not held.

local function group_of(path)
  return string.match(path, '^[^/]*')
end

-- The path of a job. Its group is its handler, if it names none.
local function path_of(handler, group, key)
  if not group or group == '-' or group == '' then group = handler end
  if not key or key == '-' then key = '' end
  return group .. '/' .. key
end

local function has_key(path)
  return string.sub(path, -1) ~= '/'
end

-- The keys that `admit(path)` and `stand(path)` touch, added to `names`, for the pre-flight.
local function need_line(names, path)
  names[#names + 1] = base .. 'line:' .. path
  names[#names + 1] = base .. 'ring:' .. group_of(path)
end

-- Concurrency limits of a group: its own, and that of each of its keys; nil where there is none.
local limits_read = {}
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

-- Bring the rings up to date after `path`'s line or what it holds has changed. True if the path may run now.
local function admit(path)
  local group = group_of(path)
  local limits = path == '' and {} or limits_of(group)
  local ring = base .. 'ring:' .. group
  local runs = place(ring, path, base .. 'line:' .. path, has_key(path) and is_full(limits.key, path))
  return place(ring_key, group, ring, is_full(limits.group, group)) and runs
end

-- Queue up a job for its line; `admit_all` puts them there.
local standing = {}
local function stand(path, rank, id)
  local line = standing[path]
  if not line then
    line = {}
    standing[path] = line
  end
  line[#line + 1] = rank
  line[#line + 1] = id
end

local function admit_all()
  for path, line in pairs(standing) do
    call('ZADD', base .. 'line:' .. path, unpack(line))
    admit(path)
  end
end
