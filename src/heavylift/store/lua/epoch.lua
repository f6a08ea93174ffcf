#!lua flags=allow-oom
-- epoch: the mark by which it is seen that Redis has forgotten a queue, or what was last written to it: `sweep` reads
-- it, and takes it away. The first to ask makes it.
--
-- keys: meta
-- args: new:str
-- reply: the mark
-- include:

local epoch = call('HGET', meta_key, 'epoch')
if not epoch then
  epoch = new
  call('HSET', meta_key, 'epoch', epoch)
end
return epoch
