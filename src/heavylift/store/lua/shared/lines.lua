-- include: limits
--
-- Lines, rings and the gate: which jobs may run, where groups or keys have limits or take turns.
--
-- A job stands in the line of its path, "<group>/<key>". The ring of a group holds those of its lines that may run;
-- the ring of the queue holds the groups that may run, by the best score in theirs. A line's score is the rank of its
-- first job, or its virtual time where lines take turns. One that is out of tokens stands in `gate` instead, by the
-- time it opens; one that is empty or full (held = limit) stands nowhere, and what lowers `held` admits it again. So a
-- job that may not run is never looked at. The line of path "" holds jobs that got ready while nothing was limited;
-- claims sort them into their lines.

local TURN = 1000000 -- virtual time of one job

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
  if CLUSTER and (path ~= '' or by_lines) then
    names[#names + 1] = line_of(path)
    names[#names + 1] = ring_of(group_of(path))
    if not names.limits then
      names.limits = true
      also(names, gate_key, tat_key)
      names[#names + 1] = vt_key
    end
  end
end

-- A line that comes anew starts at the clock: no credit for absence. One that was served lately has its turn to wait.
local vts, served = {}, {}
local function virtual_time(path)
  local time = vts[path]
  if not time then
    time = tonumber(call('ZSCORE', vt_key, path) or nil) or 0
    vts[path] = time
  end
  return math.max(virtual_clock, time)
end

-- A line had its turn, at `time`. The clock never stands still, so lines that come later go behind those that wait.
local function serve(path, time)
  virtual_clock = math.max(virtual_clock + 1, time)
  clocked = true
  vts[path] = virtual_clock + TURN
  served[path] = true
end

-- Writes what was counted, spent and served by this call.
local function keep_lines()
  local list = {}
  for path in pairs(served) do
    also(list, whole(vts[path]), path)
  end
  add(vt_key, list)
  keep_spent()
  keep_held()
end

-- Put `member` into `ring`, or into the gate, or out of both. True if it may run. `stay`: where it stands already;
-- `running`: it was in the ring just now, so it is not in the gate.
local gated = 0 -- came into the gate by this call
local function place(ring, member, score, full, rate, stay, running)
  local opens = score and not full and rate and opening(rate, member)
  if not score or full or opens then
    call('ZREM', ring, member)
    if opens then
      gated = gated + call('ZADD', gate_key, whole(math.ceil(opens / 1000)), member)
    elseif rate and not running then
      call('ZREM', gate_key, member)
    end
    return false
  end
  if stay then
    call('ZADD', ring, 'NX', score, member)
  else
    call('ZADD', ring, score, member)
  end
  if rate and not running then call('ZREM', gate_key, member) end
  return true
end

-- `score`: the rank of the line's first job, false if it has none.
local function place_line(path, group, score, stay, running)
  local limits, key = limits_of(group), has_key(path)
  local full = key and score and is_full(limits.key, path)
  if score and fair then score = whole(virtual_time(path)) end
  return place(ring_of(group), path, score, full, key and limits.key_rate or nil, stay, running)
end

local function admit_line(path, group, anew)
  local score = call('ZRANGE', line_of(path), 0, 0, 'WITHSCORES')[2]
  return place_line(path, group, score, fair and not anew)
end

local function admit_group(group)
  local limits = limits_of(group)
  local score = call('ZRANGE', ring_of(group), 0, 0, 'WITHSCORES')[2]
  if score and fair then score = whole(math.max(virtual_clock, tonumber(score))) end
  return place(ring_key, group, score, score and is_full(limits.group, group), limits.group_rate)
end

-- Bring rings and gate up to date after `path`'s line, or what it holds, has changed.
local function admit(path)
  if path ~= '' then
    local group = group_of(path)
    admit_line(path, group)
    admit_group(group)
  end
end

-- The same for many paths, the keys of `paths`; each group once. `anew`: their turns may have changed, too. Returns how
-- many of them may run now, or will when the gate opens: somebody must know when.
local function admit_each(paths, anew)
  local runs, before, sum = {}, gated, 0
  for path in pairs(paths) do
    if path ~= '' then
      local group = group_of(path)
      runs[group] = (runs[group] or 0) + (admit_line(path, group, anew) and 1 or 0)
    end
  end
  for group, count in pairs(runs) do
    if admit_group(group) then sum = sum + count end
  end
  return sum + gated - before
end

local function was_full(limit, place, freed)
  return limit ~= nil and held(place) + freed >= limit
end

-- Lets lines and groups in that were full until places were given back, `freed` by path. Returns as `admit_each`. While
-- a change of limits is not through, any may have been.
local function admit_freed(freed)
  local paths, groups = {}, {}
  read_held(freed) -- in one read
  for path, count in pairs(freed) do
    local group = group_of(path)
    groups[group] = (groups[group] or 0) + count
    if revising or has_key(path) and was_full(limits_of(group).key, path, count) then paths[path] = true end
  end
  local sum = admit_each(paths)
  for group, count in pairs(groups) do
    if (revising or was_full(limits_of(group).group, group, count)) and admit_group(group) then sum = sum + count end
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

-- Whether the first job of a line is one of those that have just joined it. Nothing else changes where a line stands.
local function begins_with(path, joined)
  local first = 2
  for at = 4, #joined, 2 do
    local less = tonumber(joined[at - 1]) - tonumber(joined[first - 1])
    if less < 0 or less == 0 and joined[at] < joined[first] then first = at end
  end
  return call('ZRANK', line_of(path), joined[first]) == 0
end

local function line_up()
  local changed = {}
  for path, line in pairs(standing) do
    add(line_of(path), line)
    if path ~= '' then
      lined = lined + #line / 2
      changed[path] = begins_with(path, line) or nil
    end
  end
  if by_lines then admit_each(changed) end
  standing = {}
end

-- A waiting job leaves its line.
local function leave(path, id)
  local left = call('ZREM', line_of(path), id)
  if path ~= '' then lined = lined - left end
  if by_lines then admit(path) end
end

-- Whether any job may run, as far as groups and keys are concerned.
local function backlog()
  if by_lines then
    return call('EXISTS', ring_key, line_key) > 0
  end
  return call('EXISTS', line_key) == 1
end
