#!lua
-- enqueue: put jobs into the queue, each exactly once.
--
-- A job whose id exists is left as it is and reported as a duplicate, unless it carries this call's own nonce: then
-- the reply of the first try was lost, and the job is ours. Refused as a whole while Redis is full (no allow-oom).
--
-- keys: meta line delayed blocked expiring idle ring held schedules
-- args: nonce:str rest
-- rest: per job  id  handler  envelope  options
--       options "" or words "name=value" with spaces between: prio delay due expires keep group key (times in ms;
--       due since 1970, the others from now; keep also as <ms>/<ms>/<n>/<n>); unique=<s|f|w|d>.<digest> (until started,
--       until finished, window, debounce) window quiet latest; flow after policy (after: how many parents `stage` has noted); the tick of a
--       schedule: schedule tick rev next alone (not if this is not its next tick; alone=1: nor while its last job goes on)
-- reply: one letter per job: w d b (waiting, delayed, blocked) ours; a c f x (active, completed, failed, cancelled) ours,
--        enqueued by an earlier try; the same letter as a capital: a duplicate, in that state (G: gone, or no tick). Then per
--        duplicate by `unique` " <place>=<id of the job that is there>", places from 0
-- include: meta states lines wake unique flow block tick

local WIDTH = 4

-- A debounced job is due when it has been quiet for so long, but not later than at `latest`.
local function read_unique_options(said)
  said.window, said.quiet = integer(said.window), integer(said.quiet)
  said.latest = integer(said.latest) and now + integer(said.latest)
  if said.quiet then said.due = math.min(now + said.quiet, said.latest or math.huge) end
end

local NOTHING_SAID = {}
local function read_options(text)
  if text == '' then
    return NOTHING_SAID
  end
  local said = {}
  for name, value in string.gmatch(text, '(%l+)=(%S+)') do
    said[name] = value
  end
  said.prio = tonumber(said.prio)
  said.due = tonumber(said.due) or now + (tonumber(said.delay) or 0)
  said.expires = tonumber(said.expires)
  if said.unique then read_unique_options(said) end
  return said
end

-- What became of a job whose id is taken.
local function taken(name, own_nonce)
  local job = read_hash(name, 'nonce', 'state')
  local letter = LETTER[job[2]] or 'f'
  return not job.err and job[1] == own_nonce and letter or string.upper(letter)
end

read_meta()

local names, letters, seen, lines, said_of, uniques, holders = {}, {}, {}, {}, {}, {}, {}
for at = REST, #ARGV, WIDTH do
  local options = read_options(ARGV[at + 3])
  names[#names + 1] = job_key(ARGV[at])
  said_of[#names] = options
  if by_lines then need_line(lines, path_of(ARGV[at + 1], options.group, options.key)) end
  if options.unique then uniques[#uniques + 1] = unique_name(options.unique) end
  if options.flow then need_flow(lines, ARGV[at], options) end
  if options.schedule then need_schedule(lines, options) end
end
if not (here(names) and here(lines) and here(uniques)) then
  return MOVING
end
if CLUSTER then
  need_holders(holders, uniques)
  for _, options in ipairs(said_of) do
    if options.schedule then need_last(holders, options) end
  end
end
if not here(holders) then
  return MOVING
end

if call('EXISTS', unpack(names)) > 0 then
  for i, name in ipairs(names) do
    letters[i] = call('EXISTS', name) == 1 and taken(name, nonce .. '.' .. i) or nil
  end
end

for i in ipairs(names) do
  if not letters[i] and not is_staged(ARGV[REST + (i - 1) * WIDTH], said_of[i]) then
    return NOT_STAGED
  end
end

local ready, delayed, expiring, others = {}, {}, {}, {}
local waiting, first_due = 0, nil

-- Another job holds the key: the last arguments win where both are debounced, else it is left as it is.
local function duplicate(i, holder, options, envelope)
  letters[i] = string.upper(LETTER[holder.state] or 'f')
  others[#others + 1] = ' ' .. whole(i - 1) .. '=' .. holder.id
  if not options.quiet or holder.mode ~= 'd' or holder.repeated then
    return
  end
  call('HSET', job_key(holder.id), 'spec', envelope, 'replaced', nonce .. '.' .. i)
  if holder.state == 'delayed' then
    local due = math.max(now, math.min(now + options.quiet, holder.latest or math.huge))
    call('HSET', job_key(holder.id), 'due', whole(due))
    also(delayed, whole(due), holder.id)
    first_due = math.min(first_due or due, due)
    publish(holder.id, 'delayed', ',"due":' .. whole(due))
  end
end

-- Adds what its options say to a job's fields, and notes them where they count.
local function say_more(fields, id, options, waits)
  if (options.prio or 0) ~= 0 then also(fields, 'prio', whole(options.prio)) end
  if options.keep then also(fields, 'keep', options.keep) end
  if options.group then also(fields, 'group', options.group) end
  if options.key then also(fields, 'key', options.key) end
  if options.expires then
    also(fields, 'expires', whole(now + options.expires))
    also(expiring, whole(now + options.expires), id)
  end
  if not waits then also(fields, 'due', whole(options.due)) end
  if options.unique then
    also(fields, 'unique', options.unique)
    if options.latest then also(fields, 'latest', whole(options.latest)) end
    take_unique(id, options.unique, 0, options.window)
  end
  if options.flow then join_flow(fields, id, options) end
end

for i, name in ipairs(names) do
  local at = REST + (i - 1) * WIDTH
  local id, handler, envelope, options = ARGV[at], ARGV[at + 1], ARGV[at + 2], said_of[i]
  if options.schedule and not fire(id, options) then letters[i] = letters[i] or 'G' end
  local holder = options.unique and not seen[name] and not letters[i] and holder_of(options.unique, nonce .. '.' .. i)
  if seen[name] then
    letters[i] = letters[i] or string.upper(seen[name])
  elseif holder then
    duplicate(i, holder, options, envelope)
  elseif not letters[i] then
    local due = options.due
    local waits = not due or due <= now
    local state = options.after and 'blocked' or waits and 'waiting' or 'delayed'
    local path = state == 'waiting' and path_of(handler, options.group, options.key)
    if path then
      call('PUBLISH', name, '{"event":"waiting","job":"' .. id .. event_tail .. '}')
    else
      publish(id, state, state == 'delayed' and ',"due":' .. whole(due))
    end
    if options.due or by_lines then
      local fields = {
        'state', state, 'handler', handler, 'spec', envelope, 'nonce', nonce .. '.' .. i, 'enqueued_at', now_text,
      }
      if options.due then say_more(fields, id, options, waits) end
      if path and by_lines then also(fields, 'path', path) end
      call('HSET', name, unpack(fields))
    else
      call('HSET', name, 'state', state, 'handler', handler, 'spec', envelope, 'nonce', nonce .. '.' .. i,
        'enqueued_at', now_text)
    end
    if options.after then
      block(id)
    elseif path then
      if by_lines then
        stand(path, next_rank(options.prio), id)
      else
        also(ready, next_rank(options.prio), id)
      end
      waiting = waiting + 1
    else
      also(delayed, whole(due), id)
      first_due = math.min(first_due or due, due)
    end
    letters[i] = LETTER[state]
  end
  if not holder then seen[name] = seen[name] or letters[i] end
end

add(line_key, ready)
line_up()
add(expiring_key, expiring)
if first_due and is_first_due(first_due) then waiting = math.max(waiting, 1) end
add(delayed_key, delayed)
keep_meta()
if not paused then wake(waiting) end
return table.concat(letters) .. table.concat(others)
