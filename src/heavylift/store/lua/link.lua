#!lua flags=allow-oom
-- link: children are noted with their parents, who will tell them how they ended.
--
-- A parent without a flow joins its child's. If it has ended already, the hand-over is in the outbox at once.
--
-- keys: meta outbox
-- args: rest
-- rest: per link  id of the parent  "queue id" of the child  the child's life  its flow; some hundred at most
-- reply: one letter per link: o (ok), e (ok, and the parent has ended: ask for `handover`), g (no such parent)
-- include: states flow

local WIDTH = 4

local names, parents = {}, {}
for at = REST, #ARGV, WIDTH do
  local id = ARGV[at]
  if not parents[id] then
    parents[id] = {}
    names[#names + 1] = job_key(id)
  end
end
if not here(names) then
  return MOVING
end

names = {}
for id, parent in pairs(parents) do
  local job = read_hash(job_key(id), 'state', 'flow', 'children')
  if not job.err and job[1] then
    parent.state, parent.flow, parent.told = job[1], job[2], job[3]
    names[#names + 1] = children_of(id)
    if parent.flow then names[#names + 1] = flow_of(parent.flow) end
  end
end
for at = REST, #ARGV, WIDTH do
  local parent = parents[ARGV[at]]
  if parent.state and not parent.flow then names[#names + 1] = flow_of(ARGV[at + 3]) end
end
if not here(names) then
  return MOVING
end

local letters = {}
for at = REST, #ARGV, WIDTH do
  local id, child, life, flow = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local parent = parents[id]
  if not parent.state then
    letters[#letters + 1] = 'g'
  else
    call('ZADD', children_of(id), 'GT', life, child)
    if not parent.told then
      if not parent.flow then parent.flow = flow end
      call('HSET', job_key(id), 'children', '1', 'flow', parent.flow)
      parent.told = true
    end
    if parent.flow == flow and not parent.joined then
      call('ZADD', flow_of(flow), 0, id)
      parent.joined = true
    end
    if ENDED[parent.state] and not parent.out then
      call('ZADD', outbox_key, now_text, id)
      parent.out = true
    end
    letters[#letters + 1] = parent.out and 'e' or 'o'
  end
end
return table.concat(letters)
