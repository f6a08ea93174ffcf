-- The one way into an ended state for jobs that are not being settled by their holder.

-- `job` must not stand in any line or set any more. `more` is added to the event's JSON.
local function end_job(id, state, reason, own_keep)
  call('HSET', job_key(id), 'state', state, 'reason', reason, 'finished_at', now, 'token', '')
  call('ZADD', state == 'failed' and failed_key or cancelled_key, now, id)
  call('ZADD', purge_key, purge_time(state, own_keep), id)
  publish(id, state, reason ~= '' and detail(reason) or nil)
end
