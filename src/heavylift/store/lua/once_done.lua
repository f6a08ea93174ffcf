#!lua flags=allow-oom
-- once_done: the effect has happened, and this is its result. Only the holder may say so, or somebody who knows.
--
-- A record that is gone (forgotten meanwhile, or kept long enough) is made again: the effect has happened.
--
-- keys: once(digest)
-- args: digest:str name:str token:str result:str keep:int
-- token: of the holder, "" for an operator
-- reply: ok, or lost: another holds it, or has recorded a result
-- include: clock

local said = call('HMGET', once_key, 'state', 'token')
if token ~= '' and said[1] and said[2] ~= token then
  return 'lost'
end
call('HSET', once_key, 'state', 'done', 'key', name, 'token', token, 'result', result, 'done_at', now_text)
call('PEXPIRE', once_key, keep)
return 'ok'
