#!lua
-- order: by what a queue's jobs take turns: `priority`, across keys, or `fair`: keys take turns, priority within each.
--
-- keys: meta line delayed locks idle ring held
-- args: order:str
-- reply: 1, or 0 if that was its order
-- include: meta revise wake

read_meta()
if fair == (order == 'fair') then
  return 0
end
local were_lines = by_lines
by_lines = true
local names = {}
need_line(names, '')
if not here(names) then
  return MOVING
end
fair = order == 'fair'
if fair then
  call('HSET', meta_key, 'order', order, 'mode', 'lines')
else
  call('HDEL', meta_key, 'order', 'clock')
  call('UNLINK', vt_key)
end
begin_revision(were_lines, all_groups())
revise(ACTIVE_LINES)
keep_meta()
if not paused and backlog() then wake(1) end
return 1
