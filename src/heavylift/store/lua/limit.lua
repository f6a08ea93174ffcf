#!lua
-- limit: how many jobs may run at once: of the queue, of one group, or of each key of one group.
--
-- What runs already goes on. Lines that may run under the new limit are admitted, others leave the ring. The first
-- limit on a group or key makes jobs stand in lines by group and key from then on.
--
-- keys: meta line delayed idle ring held
-- args: scope:str most:int
-- scope: "" the queue, "<group>" the group, "<group>/*" each of its keys; most: -1 lifts the limit
-- reply: nothing
-- include: meta lines wake

read_meta()
local group = group_of(scope)
local paths = {}
if scope ~= '' then
  for _, field in ipairs(call('HKEYS', held_key)) do
    if string.find(field, '/', 1, true) and group_of(field) == group then paths[#paths + 1] = field end
  end
  paths[#paths + 1] = group .. '/'
end
local lines = {}
for _, path in ipairs(paths) do
  need_line(lines, path)
end
by_lines = by_lines or scope ~= ''
need_line(lines, '')
if not here(lines) then
  return MOVING
end

local field = scope == '' and 'limit' or 'limit:' .. scope
local change
if most < 0 then
  change = 0 - call('HDEL', meta_key, field)
else
  change = call('HSET', meta_key, field, most)
end
if scope ~= '' then call('HINCRBY', meta_key, 'limits', change) end
if by_lines then
  call('HSET', meta_key, 'mode', 'lines')
  admit('')
  for _, path in ipairs(paths) do
    admit(path)
  end
end
if not paused and backlog() then wake(most < 0 and 1000 or math.max(1, most)) end
return 0
