-- A job that saves a checkpoint it had not before gets on: the crashes it has had say nothing against it any more.

local function also_checkpoint(fields, name, checkpoint)
  local had = call('HMGET', name, 'checkpoint', 'crashes')
  also(fields, 'checkpoint', checkpoint)
  if had[1] ~= checkpoint and integer(had[2]) then also(fields, 'overcome', had[2]) end
end
