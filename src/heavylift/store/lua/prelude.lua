-- What every verb of a queue finds beside its keys and arguments (bound by the loader) and the time (shared/clock).
-- CLUSTER and OFFSET (ms, for tests) are set by the loader. Numbers are turned into text once, where many commands
-- take them: Redis' own conversion costs more than most commands.

-- All keys of a queue begin with `base`; jobs and lines, which a script finds on the way, are named from it.
local base = string.sub(meta_key, 1, -5)
local prefix, queue = string.match(base, '^(.*):{(.*)}:$')

-- What a field says, as a number; nil if there is none or it is no whole number. Jobs' hashes can be changed by
-- anybody, and an error in the middle of a script would leave half of it done.
local function integer(text)
  return text and #text <= 16 and string.find(text, '^%-?%d+$') and tonumber(text) or nil
end

local job_base = base .. 'job:'

local function job_key(id)
  return job_base .. id
end

-- While a slot moves, some of its keys are on another node, where this script would neither find nor keep them.
-- EXISTS over several keys is refused as long as one of them is not here, also one that exists nowhere yet.
-- So: every key found on the way is asked for before the first write; the declared ones Redis itself has checked.
local function here(names)
  if not CLUSTER or #names == 0 then
    return true
  end
  return type(redis.pcall('EXISTS', meta_key, unpack(names))) == 'number'
end

-- What these fields of a hash say; `err` instead if it is no hash. Any other refusal (of a right that was taken away)
-- ends the script, before it takes a job for a broken one or for one that is gone.
local function read_hash(name, ...)
  local said = redis.pcall('HMGET', name, ...)
  if said.err and not string.find(said.err, '^WRONGTYPE') then error(said, 0) end
  return said
end

local MOVING = { err = 'MOVING a key of this call is on its way to another node' }

-- A string as JSON; nearly all are plain names and need no escaping.
local function quote(text)
  if string.find(text, '[^%w_.:@%-/ ]') then
    return cjson.encode(text)
  end
  return '"' .. text .. '"'
end

local function detail(text)
  if not text or text == '' then
    return ''
  end
  return ',"detail":' .. quote(text)
end

-- Tell watchers, before anything of the job is written: a user who lost the right to tell then changes nothing, where
-- Redis refuses in the middle of a script. `more` is the rest of the event's JSON, beginning with a comma.
local event_tail = '","queue":"' .. queue .. '","at":' .. now_text
local function publish(id, event, more)
  call('PUBLISH', job_base .. id, '{"event":"' .. event .. '","job":"' .. id .. event_tail .. (more or '') .. '}')
end

-- Adds a score and a member to the arguments of a ZADD.
local function also(list, score, member)
  local n = #list
  list[n + 1], list[n + 2] = score, member
end

local function add(key, list)
  if #list > 0 then call('ZADD', key, unpack(list)) end
end
