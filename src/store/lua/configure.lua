#!lua flags=allow-oom
-- configure: a node says which schedules its configuration has; what no living node's has is gone.
-- include: schedules
--
-- ARGV[1] this node   ARGV[2] how many nodes live   ARGV[3...] their ids, then the names it has
-- Returns {now_ms, how many are gone, then those of its names that are missing here}
--
-- So a schedule that a rolling reload takes out ends with the last node that has it, and one that it
-- brings in begins with the first. Safe to repeat: it writes what is.
local living, mine = { [ARGV[1]] = true }, {}
local first_name = 3 + tonumber(ARGV[2])
for i = 3, first_name - 1 do living[ARGV[i]] = true end
for i = first_name, #ARGV do mine[ARGV[i]] = true end
local held = rc('HGETALL', K.held)
local gone = 0
for i = 1, #held, 2 do
  local name, before, kept = held[i], held[i + 1], {}
  for node in string.gmatch(before, '[^,]+') do
    if living[node] and node ~= ARGV[1] then kept[#kept + 1] = node end
  end
  if mine[name] then kept[#kept + 1] = ARGV[1] end
  local now = table.concat(kept, ',')
  if now == '' then
    forget(name)
    gone = gone + 1
  elseif now ~= before then
    rc('HSET', K.held, name, now)
  end
end
if gone > 0 then wake_sweepers() end
local reply = { now_ms, gone }
for name in pairs(mine) do
  if rc('HEXISTS', K.held, name) == 0 or rc('HEXISTS', K.states, name) == 0 then
    reply[#reply + 1] = name
  end
end
return reply
