-- What a worker is given of a job, four fields each: id, envelope, checkpoint ("" if none) and
-- "starts attempts crashes interruptions unknown started_at previous" ("" for a first start at the reply's own time).

local function give(reply, id, spec, checkpoint, counters)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = id, spec, checkpoint or '', counters
end

-- The fields of a job that was started before, read and given. Returns the bytes it adds to the reply.
local function give_started(reply, id, spec, previous)
  local job = call('HMGET', job_key(id), 'starts', 'attempts', 'crashes', 'interruptions', 'unknown', 'started_at',
    'checkpoint')
  local counters = {}
  for i = 1, 6 do
    counters[i] = job[i] or '0'
  end
  counters[7] = previous
  give(reply, id, spec, job[7], table.concat(counters, ' '))
  return job[7] and #job[7] or 0
end

-- The answer to a repeated call: those jobs of the first answer that are still held under its token.
local function give_again(reply, stored, token)
  for id, previous in string.gmatch(stored, '([^ ,]+),?([^ ]*)') do
    if not here({ job_key(id) }) then
      return MOVING
    end
    local job = redis.pcall('HMGET', job_key(id), 'token', 'spec')
    if not job.err and job[1] == token and job[2] then give_started(reply, id, job[2], previous) end
  end
  return reply
end
