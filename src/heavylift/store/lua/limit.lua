#!lua flags=allow-oom
-- limit: how many jobs may run at once, and be started in a time: of the queue, of one group, or of each key of one.
--
-- What runs already goes on, and counts. The first limit on a group or key makes jobs stand in lines by group and key
-- from then on. A declaration that was written before changes nothing again: what was said by hand since then stays.
--
-- keys: meta line delayed locks idle ring held
-- args: scope:str most:str rate:str declared:str
-- scope: "" the queue, "<group>" the group, "<group>/*" each of its keys; most: a number; rate: "count period burst",
--        period in ms; each "" to leave it, "-" to lift it; declared: "" by hand, else what tells the declaration,
--        "-" that there is none any more
-- reply: 1, or 0 if it was declared before
-- include: meta revise wake

read_meta()
if declared ~= '' then
  local before = call('HGET', meta_key, 'declared:' .. scope) or '-'
  if before == declared then
    return 0
  end
end

local were_lines = by_lines
by_lines = by_lines or scope ~= '' and (most ~= '-' or rate ~= '-')
local names, group = {}, group_of(scope)
need_line(names, by_lines and group .. '/' or '')
if not here(names) then
  return MOVING
end

if declared == '-' then
  call('HDEL', meta_key, 'declared:' .. scope)
elseif declared ~= '' then
  call('HSET', meta_key, 'declared:' .. scope, declared)
end

local function say(word, value)
  local field = scope == '' and word or word .. ':' .. scope
  if value == '-' then
    return 0 - call('HDEL', meta_key, field)
  end
  return value == '' and 0 or call('HSET', meta_key, field, value)
end
local change = say('limit', most) + say('rate', rate)
if scope ~= '' and change ~= 0 then call('HINCRBY', meta_key, 'limits', change) end
if by_lines and scope ~= '' then
  if not were_lines then call('HSET', meta_key, 'mode', 'lines') end
  admit_group(group)
  begin_revision(were_lines)
  revise(ACTIVE_LINES)
  keep_meta()
end
if not paused and backlog() then wake((most == '-' or rate == '-') and 1000 or math.max(1, tonumber(most) or 1)) end
return 1
