#!lua flags=allow-oom
-- deliver: jobs learn how parents of theirs have ended. Telling one twice changes nothing more.
--
-- With its last parent a job gets ready. When one has not completed, the job's policy says what becomes of it: it
-- fails (none), it is cancelled (`cancel`), it runs all the same (`run`), or it runs for that very reason and is
-- cancelled when all have completed (`require`). What was told to an earlier life of a job is not meant for this one.
--
-- keys: meta line delayed blocked expiring failed cancelled purge outbox idle ring held
-- args: rest
-- rest: per child  id  its life  "queue id" of the parent  how it ended: c f x g  its result (JSON, or ""); some hundred
-- reply: one letter per item: o (ok), h (ok, and the outbox has something for the children of this one), s (another
--        life), g (no such job)
-- include: meta unique lines wake ending flow withdraw arrive

local WIDTH = 5

read_meta()
local ids, seen = {}, {}
for at = REST, #ARGV, WIDTH do
  local id = ARGV[at]
  if not seen[id] then
    seen[id] = true
    ids[#ids + 1] = id
  end
end
local jobs = survey(ids)
if not jobs then
  return MOVING
end

local letters = {}
for at = REST, #ARGV, WIDTH do
  local id, life, parent, how, result = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local job = jobs[id]
  if not job then
    letters[#letters + 1] = 'g'
  elseif life ~= (integer(job.lives) or 0) then
    letters[#letters + 1] = 's'
  else
    if call('ZSCORE', pending_of(id), parent) then arrive(id, job, parent, how, result) end
    letters[#letters + 1] = ENDED[job.state] and job.children and 'h' or 'o'
  end
end
line_up()
keep_meta()
if not paused then wake(awake) end
return table.concat(letters)
