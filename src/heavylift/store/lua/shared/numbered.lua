-- Numbered calls. A worker repeats a call whose reply was lost under the same number, and gets the stored answer;
-- nothing is done twice. A number below the last one comes from a connection given up long ago: it changes nothing.

local ANSWER_LIFE = 3600000 -- ms; a worker silent for longer has lost its locks anyway

local SUPERSEDED = { err = 'SUPERSEDED a later call of this worker was already answered' }

-- The stored answer to this number, or nil and whether the number is an old one.
local function answered(verb)
  local stored = call('HGET', call_key, verb)
  if not stored then
    return nil, false
  end
  local last, text = string.match(stored, '^(%d+) (.*)$')
  last = tonumber(last)
  if last == number then
    return text, false
  end
  return nil, last > number
end

local function answer(verb, text)
  call('HSET', call_key, verb, string.format('%.0f ', number) .. text)
  call('PEXPIRE', call_key, ANSWER_LIFE)
end
