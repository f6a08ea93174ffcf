#!lua flags=allow-oom
-- seen: a worker says that it lives. Those not seen for a day are forgotten.
--
-- keys: workers
-- args: worker:str
-- reply: nothing
-- include:

local FORGOTTEN = 86400000 -- ms

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + OFFSET
redis.call('ZADD', workers_key, string.format('%.0f', now), worker)
redis.call('ZREMRANGEBYSCORE', workers_key, '-inf', string.format('(%.0f', now - FORGOTTEN))
return 0
