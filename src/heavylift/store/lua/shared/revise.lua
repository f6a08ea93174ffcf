-- include: lines
--
-- After a change of limits or order every line that it may concern is looked at again: at once as far as one call may,
-- the rest by the next claims. `meta` remembers how far: a cursor, and the keys still to go through. Until then a claim
-- makes sure of what it takes.

local ACTIVE_LINES = 100 -- lines that the change itself looks at; claims do the others
local AT_ONCE = 25 -- lines looked at between two looks at the bound
local HEAPS = 16

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

-- Whether there are jobs that run since before anything was limited, and are not counted yet: until they are, what is
-- held says too little, and nothing may start.
local function is_adopting()
  return revising ~= nil and string.find(revising, '^%S+ locks ') ~= nil
end

-- Starts over: what runs, unless it is counted already; what is held, what has spent tokens, what waits for some; and
-- where the order changes, all rings.
local function begin_revision(counted, rings)
  revising = (counted and not is_adopting()) and '0 held tat gate' or '0 locks held tat gate'
  for _, group in ipairs(rings or {}) do
    revising = revising .. ' ring:' .. group
  end
end

-- Jobs that run since before anything was limited are counted from now on, like all others. `found`: locks and when
-- they end. Reads, then writes; false if a key has moved.
local function adopt(found)
  local names = {}
  for i = 1, #found, 2 do
    names[#names + 1] = job_key(found[i])
  end
  if not here(names) then
    return false
  end
  for _, name in ipairs(names) do
    local job = read_hash(name, 'state', 'path', 'handler', 'group', 'key')
    if not job.err and job[1] == 'active' and (job[2] or '') == '' then
      local path = path_of(job[3], job[4], job[5])
      call('HSET', name, 'path', path)
      hold(path, 1)
    end
  end
  keep_held()
  return true
end

-- Places what was found in `key`: lines and groups, each with a number. Reads, then writes; false if a key has moved.
local function place_again(found, key)
  local names, paths, groups = {}, {}, {}
  for i = 1, #found, 2 do
    local member = found[i]
    if string.find(member, '/', 1, true) then
      paths[member] = true
      need_line(names, member)
    elseif member ~= '' then
      groups[member] = true
      names[#names + 1] = ring_of(member)
    end
  end
  if not here(names) then
    return false
  end
  if key == 'gate' then
    for i = 1, #found, 2 do
      call('ZREM', gate_key, found[i])
    end
  end
  admit_each(paths, true)
  for group in pairs(groups) do
    admit_group(group)
  end
  return true
end

-- A small set comes whole. If that is too much, its members are gone through by the ends of their names, which stay
-- theirs whatever else comes and goes: heap by heap from this one on, until they are `most`. Then the next heap, if any.
local function part_of(found, from, most)
  local heaps, part = {}, {}
  for i = 1, #found, 2 do
    local last, before = string.byte(found[i], -1), string.byte(found[i], -2)
    local heap = ((last or 0) + 3 * (before or 0)) % HEAPS
    heaps[heap] = heaps[heap] or {}
    also(heaps[heap], found[i], found[i + 1])
  end
  while from < HEAPS and #part < 2 * most do
    for _, text in ipairs(heaps[from] or {}) do
      part[#part + 1] = text
    end
    from = from + 1
  end
  return part, from < HEAPS and '0.' .. from or '0'
end

-- Goes on, for about `most` lines or running jobs. How many are left of these, nil if a key has moved; what was done is
-- whole.
local function revise(most)
  while revising and most > 0 do
    local cursor, heap, key, rest = string.match(revising, '^(%d+)%.?(%d*) (%S+) ?(.*)$')
    if not key then
      revising = nil
      break
    end
    local names = {}
    need_line(names, '')
    local whole_key = key == 'locks' and locks_key or base .. key
    names[#names + 1] = whole_key
    local scan = here(names) and call(key == 'held' and 'HSCAN' or 'ZSCAN', whole_key, cursor, 'COUNT', AT_ONCE)
    local found, after = scan and scan[2], scan and scan[1]
    if found and cursor == '0' and after == '0' and #found > 2 * AT_ONCE then
      found, after = part_of(found, tonumber(heap) or 0, most)
    end
    if not found or not (key == 'locks' and adopt or place_again)(found, key) then
      keep_revision()
      return nil
    end
    most = most - #found / 2 - 1
    if after ~= '0' then
      revising = after .. ' ' .. key .. (rest ~= '' and ' ' .. rest or '')
    else
      revising = rest ~= '' and '0 ' .. rest or nil
    end
  end
  keep_revision()
  return math.max(0, most)
end
