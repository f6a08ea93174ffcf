-- What a job says of how it is kept: "<ms>/<ms as a dead letter>/<so many completed of its handler>/<so many dead
-- letters>", as far as it says something; "-" for nothing.

-- Ended jobs of one handler, where that says how many are kept; the sweep removes the oldest.
local function of_handler(state, handler)
  return base .. 'of:' .. state .. ':' .. handler
end

-- The set that a job is counted in once it has ended so, and how many are kept; nil if it says nothing of that.
local function counted_in(state, said, handler)
  local ended, failed = string.match(said or '', '^[^/]*/[^/]*/([^/]*)/?([^/]*)$')
  local most = integer(state == 'failed' and failed or ended)
  return most and handler and of_handler(state, handler) or nil, most
end
