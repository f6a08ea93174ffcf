-- Flows: the keys of jobs that wait for others. See `handover` for how the end of a parent comes to its children.

local CHILDREN_COME = 60000 -- ms that a job of a flow stays at least, for children that are just being enqueued
local LOOK_AFTER = 30000 -- ms until the first look at a blocked job: by then whoever put it there has linked it, or has died

local function pending_of(id)
  return base .. 'pending:' .. id
end

local function parents_of(id)
  return base .. 'parents:' .. id
end

local function children_of(id)
  return base .. 'children:' .. id
end

local function flow_of(flow)
  return base .. 'flow:' .. flow
end

-- Adds to `names` what else belongs to a job of a flow, for the pre-flight.
local function need_flow(names, id, job)
  local n = #names
  if job.after then names[n + 1], names[n + 2] = pending_of(id), parents_of(id) end
  if job.flow then names[#names + 1] = flow_of(job.flow) end
end

-- Whether an ended job must stay a while, because of others.
local function is_awaited(job)
  if not job.flow then
    return false
  end
  return job.children or (integer(job.finished_at) or 0) + CHILDREN_COME > now
end

-- Whether the first of a sorted set by time has its time come.
local function is_due(key)
  local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return first[1] and tonumber(first[2]) <= now
end
