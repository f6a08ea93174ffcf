#!lua flags=no-writes
-- ended: jobs that ended in one way, at a time or later, the earliest first.
--
-- keys: meta completed failed cancelled
-- args: state:str since:int offset:int count:int
-- offset, count: which of them
-- reply: now, then a list of each one's id and when it ended (ms)
-- include:

local KEY = { completed = completed_key, failed = failed_key, cancelled = cancelled_key }
return { now, call('ZRANGEBYSCORE', KEY[state], since, '+inf', 'WITHSCORES', 'LIMIT', offset, count) }
