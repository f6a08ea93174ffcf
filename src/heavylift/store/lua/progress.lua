#!lua flags=allow-oom
-- progress: store how far attempts are and what they would go on from, and tell watchers. Only the holder may.
--
-- keys: meta
-- args: rest
-- rest: per job  id  token  progress  checkpoint   (JSON, "" where there is none)
-- reply: one letter per job: o (ok), s (stale token), g (gone)
-- include: forward

local names = {}
for at = REST, #ARGV, 4 do
  names[#names + 1] = job_key(ARGV[at])
end
if not here(names) then
  return MOVING
end

local letters = {}
for i, name in ipairs(names) do
  local at = REST + (i - 1) * 4
  local id, token, progress, checkpoint = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local job = read_hash(name, 'token')
  if job.err or not job[1] and call('EXISTS', name) == 0 then
    letters[i] = 'g'
  elseif token == '' or job[1] ~= token then
    letters[i] = 's'
  else
    letters[i] = 'o'
    if checkpoint ~= '' then
      local fields = {}
      also_checkpoint(fields, name, checkpoint)
      call('HSET', name, unpack(fields))
    end
    if progress ~= '' then
      call('HSET', name, 'progress', progress)
      publish(id, 'progress', ',"progress":' .. progress)
    end
  end
end
return table.concat(letters)
