-- A job that cannot be read must not stop the queue: it becomes a dead letter `malformed`, all of it kept.

local function quarantine(id)
  local name = job_key(id)
  if call('TYPE', name).ok ~= 'hash' and call('EXISTS', name) == 1 then
    call('RENAME', name, base .. 'raw:' .. id)
    call('PEXPIRE', base .. 'raw:' .. id, purge_time('failed') - now)
  end
  end_job(id, 'failed', 'malformed')
end
