#!lua flags=allow-oom
-- once_forget: the effect has not happened; the next one who begins does it. Only the holder may say so, or somebody
-- who knows. What has been done is forgotten only by the latter.
--
-- keys: once(digest)
-- args: digest:str token:str nonce:str
-- token, nonce: of the holder and its beginning, "" for an operator
-- reply: 1, or 0 if there is nothing to forget, or another holds it
-- include:

local said = redis.call('HMGET', once_key, 'state', 'token', 'nonce')
if not said[1] or token ~= '' and (said[1] ~= 'begun' or said[2] ~= token or said[3] ~= nonce) then
  return 0
end
return redis.call('DEL', once_key)
