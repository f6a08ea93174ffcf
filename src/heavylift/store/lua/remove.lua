#!lua flags=allow-oom
-- remove: a job and all that is kept of it. Not while it runs: cancel it first.
--
-- keys: meta line delayed blocked expiring completed failed cancelled purge outbox ring held
-- args: id:str
-- reply: removed | active | gone
-- include: meta unique lines flow withdraw

read_meta()
local raw = base .. 'raw:' .. id
if not here({ raw }) then
  return MOVING
end
local jobs = survey({ id })
if not jobs then
  return MOVING
end
local job = jobs[id]
if not job then
  return 'gone'
end
if job.state == 'active' then
  return 'active'
end
publish(id, 'removed')
withdraw(id, job)
release(id, job.unique, true)
erase(id, job)
keep_meta()
return 'removed'
