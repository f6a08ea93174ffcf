local call = redis.call

-- Redis' own clock is the only one: microseconds for ranks, milliseconds for everything else.
local clock = call('TIME')
local now_us = clock[1] * 1000000 + clock[2] + OFFSET * 1000
local now = math.floor(now_us / 1000)

local function whole(value)
  return string.format('%.0f', value)
end

local now_text = whole(now)
