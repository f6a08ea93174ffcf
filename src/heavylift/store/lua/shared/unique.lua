-- include: states
--
-- Unique jobs. `unique:<digest>` says who holds it: "<mode> <starts> <id>", the starts being those the holder had when
-- it took the key. A job says what it holds in its field `unique`: "<mode>.<digest>". Modes: s (until started),
-- f (until finished), w (for a window of time), d (debounced; until started).
--
-- The key goes when its time is over, and whoever finds it looks at the holder as well: one that was deleted by hand
-- blocks nobody. A window is over by its own expiry.

local REMEMBERED = 60000 -- ms; a debounced job that has started is still known to a producer that repeats its call

local function unique_name(said)
  return base .. 'unique:' .. string.sub(said, 3)
end

-- What stands in a key: mode, starts, id; nothing if nobody has it.
local function read_unique(name)
  local text = redis.pcall('GET', name)
  if type(text) == 'string' then
    return string.match(text, '^(%l) (%d+) (%S+)$')
  end
  return nil
end

-- Adds the hashes of those who hold these keys to `names`, for the pre-flight.
local function need_holders(names, keys)
  for _, key in ipairs(keys) do
    local _, _, id = read_unique(key)
    if id then names[#names + 1] = job_key(id) end
  end
end

-- Who holds what a job says it would take: its id, state ("gone" after a window's job was removed), mode, and what
-- debouncing needs to know; nil if it is free. `nonce`: of a debounced call, which may have been here before.
local function holder_of(said, nonce)
  local mode, starts, id = read_unique(unique_name(said))
  if not id then
    return nil
  end
  local job = read_hash(job_key(id), 'state', 'starts', 'unique', 'replaced', 'latest')
  local ours = not job.err and job[3] == mode .. string.sub(said, 2)
  local found = { id = id, mode = mode, state = ours and job[1] or 'gone', latest = integer(job[5]) }
  found.repeated = ours and mode == 'd' and nonce ~= nil and job[4] == nonce
  if mode == 'w' or found.repeated then
    return found
  end
  local started = mode ~= 'f' and (integer(job[2]) or 0) > tonumber(starts)
  return ours and LETTER[job[1]] and not ENDED[job[1]] and not started and found or nil
end

local function take_unique(id, said, starts, window)
  local mode = string.sub(said, 1, 1)
  local text = mode .. ' ' .. whole(starts) .. ' ' .. id
  if mode ~= 'w' then
    call('SET', unique_name(said), text)
  elseif window and window > 0 then
    call('SET', unique_name(said), text, 'PX', whole(window))
  end
end

-- The time of a job's key is over, if the job still has it. `removed`: nothing of the job is left.
local function release(id, said, removed)
  if not said or string.sub(said, 1, 1) == 'w' and not removed then
    return
  end
  local name = unique_name(said)
  local mode, _, holder = read_unique(name)
  if holder ~= id then
    return
  end
  if mode == 'd' and not removed then
    call('PEXPIRE', name, REMEMBERED)
  else
    call('DEL', name)
  end
end

-- The same when it starts, which is not yet the end of mode f.
local function release_started(id, said)
  if string.sub(said, 1, 1) ~= 'f' then release(id, said) end
end
