-- Enqueueing jobs that wait for others.

local NOT_STAGED = { err = 'UNSTAGED the parents of a job are not noted any more' }

-- Whether `stage` has noted all parents of a job that has some, and its own mark beside them.
local function is_staged(id, options)
  return not options.after or call('ZCARD', pending_of(id)) == tonumber(options.after) + 1
end

-- A job enters its flow, as one that nobody waits for yet.
local function join_flow(fields, id, options)
  also(fields, 'flow', options.flow)
  call('ZADD', flow_of(options.flow), 1, id)
  if options.after then also(fields, 'after', options.after) end
  if options.policy then also(fields, 'policy', options.policy) end
end

local function block(id)
  call('ZREMRANGEBYSCORE', pending_of(id), '-inf', '(0')
  call('PERSIST', pending_of(id))
  call('PERSIST', parents_of(id))
  call('ZADD', blocked_key, whole(now + LOOK_AFTER), id)
end
