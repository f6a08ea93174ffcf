#!lua flags=no-writes
-- page: ids of the jobs in one state, a page of them. Waiting ones in the order they would run if no limit held.
--
-- keys: meta line delayed blocked locks completed failed cancelled ring held
-- args: state:str offset:int count:int newest:int
-- reply: ids
-- include: meta lines

local LINES = 500 -- lines looked at, where jobs stand in many
local DEEP = 1000 -- jobs looked at per line

local KEY = {
  waiting = line_key, delayed = delayed_key, blocked = blocked_key, active = locks_key, completed = completed_key,
  failed = failed_key, cancelled = cancelled_key,
}
read_meta()
if state ~= 'waiting' or call('HGET', meta_key, 'lined') == false then
  return call(newest == 1 and 'ZREVRANGE' or 'ZRANGE', KEY[state], offset, offset + count - 1)
end

-- A line with jobs in it stands in its group's ring, or in the gate, or is held; so does a group, or it is limited.
local paths, groups = { [''] = true }, {}
for _, group in ipairs(call('ZRANGE', ring_key, 0, LINES)) do
  groups[group] = true
end
for _, field in ipairs(call('HKEYS', held_key)) do
  groups[group_of(field)] = true
  if string.find(field, '/', 1, true) then paths[field] = true end
end
for _, member in ipairs(call('ZRANGE', gate_key, 0, LINES)) do
  groups[group_of(member)] = true
  if string.find(member, '/', 1, true) then paths[member] = true end
end
for _, field in ipairs(call('HKEYS', meta_key)) do
  local group = string.match(field, '^limit:([^/]+)$')
  if group then groups[group] = true end
end
for group in pairs(groups) do
  if here({ ring_of(group) }) then
    for _, path in ipairs(call('ZRANGE', ring_of(group), 0, LINES)) do
      paths[path] = true
    end
  end
end

local found, lines = {}, 0
for path in pairs(paths) do
  lines = lines + 1
  if lines > LINES then break end
  if here({ line_of(path) }) then
    local deep = math.min(offset + count, DEEP) - 1
    local part = call(newest == 1 and 'ZREVRANGE' or 'ZRANGE', line_of(path), 0, deep, 'WITHSCORES')
    for i = 1, #part, 2 do
      found[#found + 1] = { part[i], tonumber(part[i + 1]) }
    end
  end
end
table.sort(found, function(a, b)
  if newest == 1 then a, b = b, a end
  return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1])
end)
local ids = {}
for i = offset + 1, math.min(offset + count, #found) do
  ids[#ids + 1] = found[i][1]
end
return ids
