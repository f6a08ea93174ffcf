-- What a worker is given of a job, four fields each: id, envelope, checkpoint ("" if none) and
-- "starts attempts crashes interruptions unknown unbegun overcome started_at previous" ("" for a first start at the
-- reply's own time).

local STARTED = { 'starts', 'attempts', 'crashes', 'interruptions', 'unknown', 'unbegun', 'overcome', 'started_at',
  'checkpoint' }
local STARTED_AT, CHECKPOINT = 8, 9

local function give(reply, id, spec, checkpoint, counters)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = id, spec, checkpoint or '', counters
end

-- What is read of a job that was started before: its numbers, "0" for one that is missing or none, and its checkpoint.
-- Second, whether one was there and was no number.
local function read_started(name)
  local job = call('HMGET', name, unpack(STARTED))
  local broken = false
  for i = 1, STARTED_AT do
    if not integer(job[i]) then
      broken = broken or job[i] ~= false
      job[i] = '0'
    end
  end
  return job, broken
end

-- Gives what `read_started` has read. Returns the bytes it adds to the reply.
local function give_started(reply, id, spec, previous, started)
  local checkpoint = started[CHECKPOINT]
  started[CHECKPOINT] = previous
  give(reply, id, spec, checkpoint, table.concat(started, ' '))
  return checkpoint and #checkpoint or 0
end

-- The answer to a repeated call: those jobs of the first answer that are still held under its token.
local function give_again(reply, stored, token)
  for id, previous in string.gmatch(stored, '([^ ,]+),?([^ ]*)') do
    if not here({ job_key(id) }) then
      return MOVING
    end
    local job = read_hash(job_key(id), 'token', 'spec')
    if not job.err and job[1] == token and job[2] then
      give_started(reply, id, job[2], previous, (read_started(job_key(id))))
    end
  end
  return reply
end
