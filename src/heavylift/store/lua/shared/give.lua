-- What a worker is given of a job: one read, one flat run of fields in the reply.

local FIELDS = { 'state', 'token', 'spec', 'starts', 'attempts', 'crashes', 'interruptions', 'unknown', 'checkpoint',
  'started_at', 'expires', 'path', 'keep', 'worker' }

-- The fields by name, or nil and why: `wrong` (not a hash).
local function read_job(id)
  local read = redis.pcall('HMGET', job_key(id), unpack(FIELDS))
  if read.err then
    return nil
  end
  return {
    state = read[1], token = read[2], spec = read[3], starts = tonumber(read[4] or 0), attempts = read[5],
    crashes = read[6], interruptions = read[7], unknown = read[8], checkpoint = read[9], started_at = read[10],
    expires = tonumber(read[11] or nil), path = read[12] or '', keep = read[13], worker = read[14],
  }
end

-- Adds to `reply`: id token envelope starts attempts crashes interruptions unknown checkpoint started_at previous.
local function give(reply, id, job, previous)
  local n = #reply
  reply[n + 1] = id
  reply[n + 2] = job.token
  reply[n + 3] = job.spec
  reply[n + 4] = job.starts
  reply[n + 5] = job.attempts or 0
  reply[n + 6] = job.crashes or 0
  reply[n + 7] = job.interruptions or 0
  reply[n + 8] = job.unknown or 0
  reply[n + 9] = job.checkpoint or ''
  reply[n + 10] = job.started_at or 0
  reply[n + 11] = previous or ''
end

local function weight(job)
  return #job.spec + (job.checkpoint and #job.checkpoint or 0)
end
