#!lua flags=no-writes
-- page: ids of the jobs in one state, a page of them.
--
-- By lock (active), next look (blocked), due time, end; waiting ones in the order they would run if no limit held, about
-- so where lines take turns. Of those in many lines the first 300 at most, and as far as 200 lines and groups that may
-- run have them, and 300 that may not. `newest` goes by rank alone, in as many lines.
--
-- keys: meta line delayed blocked locks completed failed cancelled ring held
-- args: state:str offset:int count:int newest:int
-- reply: ids
-- include: meta lines

local DEEP = 300 -- jobs in many lines, from the first on
local OPEN = 200 -- lines and groups looked at that stand in rings
local SHUT = 100 -- and of those in the gate, of full lines, of full groups

local KEY = {
  waiting = line_key, delayed = delayed_key, blocked = blocked_key, active = locks_key, completed = completed_key,
  failed = failed_key, cancelled = cancelled_key,
}
local range = newest == 1 and 'ZREVRANGE' or 'ZRANGE'
read_meta()
if state ~= 'waiting' or call('HGET', meta_key, 'lined') == false then
  return call(range, KEY[state], offset, offset + count - 1)
end

-- Sorted sets are read side by side, each as far as it is needed: a heap has those with more to give, by their next.
local heap = {}

local function precedes(a, b)
  local left, right = a.score, b.score
  if left ~= right then
    return left < right
  end
  return a.turns < b.turns or a.turns == b.turns and a.name < b.name
end

local function push(reader)
  local at = #heap + 1
  while at > 1 do
    local above = math.floor(at / 2)
    if not precedes(reader, heap[above]) then break end
    heap[at], at = heap[above], above
  end
  heap[at] = reader
end

-- The first of the heap is another now, or has moved on.
local function put_first(reader)
  local at, below, child = 1, 2, heap[2]
  while child do
    local beside = heap[below + 1]
    if beside and precedes(beside, child) then child, below = beside, below + 1 end
    if not precedes(child, reader) then break end
    heap[at], at, below = child, below, below * 2
    child = heap[below]
  end
  heap[at] = reader
end

-- On to the next member: a job, or a line or group to be opened; false if there is none. The jobs of a line that takes
-- turns come at the times of theirs. Where the ends of lines come first, all are opened before.
local looks = 0
local function advance(reader)
  if reader.at > #reader.part then
    reader.part = call(reader.range, reader.key, reader.from, reader.from + reader.chunk - 1, 'WITHSCORES')
    reader.at, reader.from, reader.chunk = 1, reader.from + reader.chunk, reader.chunk * 2
  end
  local member, score = reader.part[reader.at], tonumber(reader.part[reader.at + 1])
  reader.at, reader.member = reader.at + 2, member
  if not member or newest == 1 and reader.kind ~= 'job' and looks >= OPEN then
    return false
  end
  if reader.kind ~= 'job' then
    reader.score, reader.name = newest == 1 and -math.huge or score, member
  else
    reader.score = reader.turn and reader.turn + reader.turns * TURN or newest == 1 and -score or score
    reader.turns = reader.turns + 1
  end
  return true
end

local opened, moving = {}, false
local function open(key, kind, name, turn)
  if not opened[key] and not moving then
    opened[key] = true
    moving = not here({ key })
    local reader = {
      key = key, kind = kind, name = name, turn = turn, turns = 0, part = {}, at = 1, from = 0, chunk = 2,
      range = kind == 'job' and range or 'ZRANGE',
    }
    if not moving and advance(reader) then push(reader) end
  end
end

local function open_line(path, turn)
  open(line_of(path), 'job', path, fair and newest == 0 and (turn or virtual_time(path)) or nil)
end

local function open_group(group)
  open(ring_of(group), 'line')
end

-- Lines and groups that stand in no ring: out of tokens, or full. While limits are brought up to date, any may be.
local function open_shut()
  for _, member in ipairs(call('ZRANGE', gate_key, 0, SHUT - 1)) do
    if string.find(member, '/', 1, true) then
      open_line(member)
    else
      open_group(member)
    end
  end
  local held = call('HSCAN', held_key, 0, 'COUNT', SHUT)[2]
  for i = 1, #held, 2 do
    local limit = has_key(held[i]) and limits_of(group_of(held[i])).key
    if string.find(held[i], '/', 1, true) and (revising or limit and tonumber(held[i + 1]) >= limit) then
      open_line(held[i])
    end
  end
  local said = call('HSCAN', meta_key, 0, 'COUNT', SHUT)[2]
  for i = 1, #said, 2 do
    local group = string.match(said[i], '^limit:([^/]+)$')
    if group and (revising or is_full(tonumber(said[i + 1]), group)) then open_group(group) end
  end
end

open_line('', 0)
open(ring_key, 'group')
open_shut()

local ids, passed = {}, 0
local last = math.min(offset + count, DEEP)
while passed < last and heap[1] and looks <= OPEN and not moving do
  local first = heap[1]
  local kind, member, score = first.kind, first.member, first.score
  if kind == 'job' then
    passed = passed + 1
    if passed > offset then ids[#ids + 1] = member end
  else
    looks = looks + 1
  end
  if advance(first) then
    put_first(first)
  else
    local other = table.remove(heap)
    if other ~= first then put_first(other) end
  end
  if kind == 'group' then
    open_group(member)
  elseif kind == 'line' then
    open_line(member, score)
  end
end
return moving and MOVING or ids
