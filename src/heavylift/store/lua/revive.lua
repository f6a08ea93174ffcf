#!lua
-- revive: jobs of a flow that did not complete get another life: those whose parents have completed go back in line,
-- the others wait for them again: whoever asks must `tend` to these once all of the flow are there. A job is revived once
-- by one retry of its flow, however often a call is repeated: it remembers the nonce.
--
-- A job that was cancelled because its parents have completed stays so. Its expiry does not count any more.
--
-- keys: meta line delayed blocked expiring failed cancelled purge idle ring held
-- args: nonce:str rest
-- rest: ids
-- reply: one letter per id: o (ok), b (ok, and it waits for parents), n (completed, or not ended), g (gone), h (its unique
--        key is held by another job)
-- include: meta unique lines wake flow withdraw relive

local function did_not_complete(job)
  return job.state == 'failed' or job.state == 'cancelled' and job.reason ~= 'parents_completed'
end

return relive_all({ unpack(ARGV, REST) }, did_not_complete, nil, nonce)
