-- include: meta lines
--
-- What goes before a job: the lines that have their turn before its own, and how much of each.

local LINES = 200 -- lines looked at for jobs that go before

-- Lines that may run, with their turns, but for this one: { path, group's turn, its own }; and whether some are about to
-- come out of the gate, whose turns are not known yet. Nil if a key is not here.
local function other_lines(own)
  local lines, seen = {}, { [own] = true }
  local function add_group(group, turn)
    local ring = ring_of(group)
    if not here({ ring }) then
      return false
    end
    local found = call('ZRANGE', ring, 0, LINES - #lines, 'WITHSCORES')
    for i = 1, #found, 2 do
      if not seen[found[i]] then
        seen[found[i]] = true
        lines[#lines + 1] = { found[i], turn, tonumber(found[i + 1]) }
      end
    end
    return true
  end
  local groups = call('ZRANGE', ring_key, 0, LINES, 'WITHSCORES')
  for i = 1, #groups, 2 do
    if #lines <= LINES and not add_group(groups[i], tonumber(groups[i + 1])) then
      return nil
    end
  end
  local opened = call('ZRANGEBYSCORE', gate_key, '-inf', now_text, 'LIMIT', 0, LINES)
  for _, member in ipairs(opened) do
    if not string.find(member, '/', 1, true) then
      if not add_group(member, virtual_clock) then
        return nil
      end
    elseif not seen[member] then
      seen[member] = true
      lines[#lines + 1] = { member, virtual_clock, virtual_time(member) }
    end
  end
  return lines, #opened > 0
end

-- How many of a line go before a job of this rank; where lines take turns, before the one at this place of its own.
local function ahead_in(line, rank, place, before)
  if not here({ line_of(line) }) then
    return nil
  end
  if not fair then
    return call('ZCOUNT', line_of(line), '-inf', '(' .. rank)
  end
  return math.min(call('ZCARD', line_of(line)), place + (before and 1 or 0))
end
