#!lua flags=allow-oom
-- pass_on: a worker that was woken but has no free place wakes another instead.
--
-- keys: meta line delayed idle ring held
-- args:
-- reply: nothing
-- include: meta lines wake

read_meta()
if not paused and (backlog() or call('EXISTS', delayed_key) == 1) then wake(1) end
return 0
