#!lua flags=allow-oom
-- resume: a paused queue goes on, whoever has paused it, and as many idle workers are woken as it has waiting jobs.
--
-- keys: meta line delayed idle
-- args:
-- reply: 1, or 0 if it was not paused
-- include: wake

local was = call('HDEL', meta_key, 'paused', 'held_until') > 0 and 1 or 0
wake(call('ZCARD', line_key) + (tonumber(call('HGET', meta_key, 'lined')) or 0) + call('ZCARD', delayed_key))
return was
