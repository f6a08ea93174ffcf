#!lua
-- replay: ended jobs get another life: back in line with fresh counters, without their expiry. One whose unique key
-- another job holds is left; else it takes the key again, unless somebody's window is open.
--
-- A job is replayed once by one call, however often that is repeated: it remembers the call's nonce. With another
-- envelope it keeps its first one, and forgets the checkpoint, which was made with other arguments.
--
-- keys: meta line delayed blocked expiring completed failed cancelled purge idle ring held
-- args: nonce:str which:str rest
-- which: failed (dead letters) | ended (cancelled jobs too, and completed ones whose children have been told)
-- rest: per job  id  envelope   ("" for its own)
-- reply: one letter per job: o (ok), b (ok, and it waits for parents: `tend` to it), n (in another state), g (gone),
--        h (its unique key is held by another job)
-- include: meta unique lines wake flow withdraw relive

local function may(job)
  if which == 'ended' and job.state ~= 'failed' then
    return ENDED[job.state] and not job.children and job.reason ~= 'parents_completed'
  end
  return job.state == 'failed'
end

local ids, envelopes = {}, {}
for at = REST, #ARGV, 2 do
  ids[#ids + 1], envelopes[#envelopes + 1] = ARGV[at], ARGV[at + 1]
end
return relive_all(ids, may, envelopes, nonce)
