#!lua
-- once_begin: an attempt is about to do what must be done only once; store that it is, before it does.
--
-- Naturally repeatable: the same nonce is told the same again. `instead` is a holder known to be gone, in whose place
-- the effect may be done again.
--
-- keys: once(digest)
-- args: digest:str name:str nonce:str queue:str job:str token:str keep:int instead:str
-- reply: new | done, result | begun, queue, job and token of who began it
-- include: clock

local said = call('HMGET', once_key, 'state', 'nonce', 'token', 'result', 'queue', 'job')
local state, holder = said[1], said[3] or ''
if state == 'done' then
  return { 'done', said[4] or 'null' }
end
if state == 'begun' and said[2] ~= nonce and (instead == '' or holder ~= instead) then
  return { 'begun', said[5] or '', said[6] or '', holder }
end
if state ~= 'begun' or said[2] ~= nonce then
  call('HSET', once_key, 'state', 'begun', 'key', name, 'nonce', nonce, 'queue', queue, 'job', job,
    'token', token, 'begun_at', now_text)
  call('PEXPIRE', once_key, keep)
end
return { 'new' }
