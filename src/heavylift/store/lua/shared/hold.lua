-- Counting what runs. Only where a path was given, that is, where groups or keys were limited when the job got ready.

local function count_held(field, change)
  if call('HINCRBY', held_key, field, change) <= 0 then
    call('HDEL', held_key, field)
  end
end

local function hold(path, change)
  if path ~= '' then
    count_held(group_of(path), change)
    if has_key(path) then count_held(path, change) end
  end
end
