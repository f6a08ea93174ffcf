-- include: lines
--
-- After a change of limits or order every line that it may concern is looked at again: at once as far as one call may,
-- the rest by the next claims and sweeps. `meta` remembers how far: a cursor, and the keys still to go through. Until
-- then a claim makes sure of what it takes.

local ACTIVE_LINES = 200 -- lines that the change itself looks at; claims do the others
local AT_ONCE = 100 -- lines looked at between two looks at the bound; small sets come whole

local function all_groups()
  local groups, list = {}, {}
  for _, group in ipairs(call('ZRANGE', ring_key, 0, -1)) do
    groups[group] = true
  end
  for _, member in ipairs(call('ZRANGE', gate_key, 0, -1)) do
    groups[group_of(member)] = true
  end
  for _, field in ipairs(call('HKEYS', held_key)) do
    groups[group_of(field)] = true
  end
  for _, field in ipairs(call('HKEYS', meta_key)) do
    local group = string.match(field, '^%l+:([^/]+)$')
    if group then groups[group] = true end
  end
  for group in pairs(groups) do
    list[#list + 1] = group
  end
  return list
end

local function keep_revision()
  if revising then
    call('HSET', meta_key, 'revise', revising)
  else
    call('HDEL', meta_key, 'revise')
  end
end

-- Starts over: what is held, what has spent tokens, what waits for some; and where the order changes, all rings.
local function begin_revision(rings)
  revising = '0 held tat gate'
  for _, group in ipairs(rings or {}) do
    revising = revising .. ' ring:' .. group
  end
end

-- Goes on, for about `most` lines. False if a key has moved; what was done is whole.
local function revise(most)
  while revising and most > 0 do
    local cursor, key, rest = string.match(revising, '^(%d+) (%S+) ?(.*)$')
    if not key then
      revising = nil
      break
    end
    local names = {}
    need_line(names, '')
    names[#names + 1] = base .. key
    if not here(names) then
      keep_revision()
      return false
    end
    local scan = call(key == 'held' and 'HSCAN' or 'ZSCAN', base .. key, cursor, 'COUNT', AT_ONCE)
    local paths, groups = {}, {}
    for i = 1, #scan[2], 2 do
      local member = scan[2][i]
      if string.find(member, '/', 1, true) then
        paths[member] = true
        need_line(names, member)
      elseif member ~= '' then
        groups[member] = true
        names[#names + 1] = ring_of(member)
      end
    end
    if not here(names) then
      keep_revision()
      return false
    end
    if key == 'gate' then
      for i = 1, #scan[2], 2 do
        call('ZREM', gate_key, scan[2][i])
      end
    end
    admit_each(paths, true)
    for group in pairs(groups) do
      admit_group(group)
    end
    most = most - #scan[2] / 2 - 1
    if scan[1] ~= '0' then
      revising = scan[1] .. ' ' .. key .. (rest ~= '' and ' ' .. rest or '')
    else
      revising = rest ~= '' and '0 ' .. rest or nil
    end
  end
  keep_revision()
  return true
end

-- Jobs that run since before anything was limited are counted from now on, like all others. Reads, then writes;
-- false if a key has moved.
local ADOPTED = 500
local function adopt_running()
  local ids, names = call('ZRANGE', locks_key, 0, ADOPTED - 1), {}
  for i, id in ipairs(ids) do
    names[i] = job_key(id)
  end
  if not here(names) then
    return false
  end
  for _, name in ipairs(names) do
    local job = redis.pcall('HMGET', name, 'state', 'path', 'handler', 'group', 'key')
    if not job.err and job[1] == 'active' and (job[2] or '') == '' then
      local path = path_of(job[3], job[4], job[5])
      call('HSET', name, 'path', path)
      hold(path, 1)
    end
  end
  keep_held()
  return true
end
