#!lua flags=allow-oom
-- configure: a node says which schedules its configuration has; what no living node's has is gone.
-- include: schedules
--
-- args: this_node nodes:number node_or_name...
-- nodes: so many of the rows are the ids of the nodes that live, the others the names of the schedules that it has.
-- returns: now_ms:number gone:number missing...
-- gone: how many are gone. missing: those of its names that are not here.
--
-- So a schedule that a rolling reload takes out ends with the last node that has it, and one that it
-- brings in begins with the first. Safe to repeat: it writes what is.
local living, mine = { [this_node] = true }, {}
for i = 1, nodes do living[ROW[i].node_or_name] = true end
for i = nodes + 1, ROWS do mine[ROW[i].node_or_name] = true end
local held = rc('HGETALL', K.held)
local gone = 0
for i = 1, #held, 2 do
  local name, before, kept = held[i], held[i + 1], {}
  for node in string.gmatch(before, '[^,]+') do
    if living[node] and node ~= this_node then kept[#kept + 1] = node end
  end
  if mine[name] then kept[#kept + 1] = this_node end
  local now = table.concat(kept, ',')
  if now == '' then
    forget(name)
    gone = gone + 1
  elseif now ~= before then
    rc('HSET', K.held, name, now)
  end
end
if gone > 0 then wake_sweepers() end
local reply = REPLY { now_ms = now_ms, gone = gone }
for name in pairs(mine) do
  if rc('HEXISTS', K.held, name) == 0 or rc('HEXISTS', K.states, name) == 0 then
    reply[#reply + 1] = name
  end
end
return reply
