#!lua
-- replay: dead letters get another life: back in line with fresh counters, without their expiry. One whose unique key
-- another job holds is left; else it takes the key again, unless somebody's window is open.
--
-- keys: meta line delayed blocked expiring failed purge idle ring held
-- args: rest
-- rest: ids
-- reply: one letter per id: o (ok), n (not a dead letter), g (gone), h (its unique key is held by another job)
-- include: meta unique lines wake flow withdraw relive

local function is_dead_letter(job)
  return job.state == 'failed'
end

return relive_all({ unpack(ARGV) }, is_dead_letter)
