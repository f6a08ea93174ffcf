#!lua flags=allow-oom
-- discard: dead letters are deleted, with all that is kept of them.
--
-- keys: meta line delayed blocked expiring completed failed cancelled purge outbox ring held
-- args: rest
-- rest: ids
-- reply: one letter per id: o (ok), n (not a dead letter), g (gone)
-- include: meta unique lines flow withdraw

read_meta()
local ids, raws = {}, {}
for at = REST, #ARGV do
  ids[#ids + 1] = ARGV[at]
  raws[#raws + 1] = base .. 'raw:' .. ARGV[at]
end
local jobs = here(raws) and survey(ids)
if not jobs then
  return MOVING
end

local letters = {}
for i, id in ipairs(ids) do
  local job = jobs[id]
  if not job then
    letters[i] = 'g'
  elseif job.state ~= 'failed' then
    letters[i] = 'n'
  else
    publish(id, 'removed')
    withdraw(id, job)
    release(id, job.unique, true)
    erase(id, job)
    jobs[id] = false
    letters[i] = 'o'
  end
end
return table.concat(letters)
