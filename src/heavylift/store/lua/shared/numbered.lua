-- Numbered calls. A worker repeats a call whose reply was lost under the same number, and gets the stored answer;
-- nothing is done twice. A number below the last one comes from a connection given up long ago: it changes nothing.

local ANSWER_LIFE = 3600000 -- ms; a worker silent for longer has lost its locks anyway

local SUPERSEDED = { err = 'SUPERSEDED a later call of this worker was already answered' }

local number_text = string.format('%.0f', number)

-- The stored answer to this number; else nil, and whether the number is an old one.
local function answered(verb)
  local stored = call('HGET', call_key, verb)
  if not stored then
    return nil, false
  end
  local last, answer = string.match(stored, '^(%d+) (.*)$')
  if last == number_text then
    return answer, false
  end
  return nil, tonumber(last) > number
end

local function answer(verb, text)
  call('HSET', call_key, verb, number_text .. ' ' .. text)
  call('PEXPIRE', call_key, ANSWER_LIFE)
end
