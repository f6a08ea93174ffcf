#!lua flags=allow-oom
-- seen: a worker says that it lives. Those not seen for a day are forgotten.
--
-- keys: workers
-- args: worker:str
-- reply: nothing
-- include: clock

local FORGOTTEN = 86400000 -- ms

call('ZADD', workers_key, now_text, worker)
call('ZREMRANGEBYSCORE', workers_key, '-inf', '(' .. whole(now - FORGOTTEN))
return 0
