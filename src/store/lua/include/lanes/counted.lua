-- include: lanes/index
-- What the view of a queue says of its keys.

-- What holds all that is ready, where keys do: limits, or for each message another one of its key.
local function held_by_keys(lists_length)
  if not is_laned or lists_length > 0 then return '' end
  -- A flow has the turn, or the next claim finds something to do.
  if rc('EXISTS', K.turns_0, K.turns_1, K.turns_2, K.turns_3, K.turns_4, K.turns_5, K.turns_6, K.turns_7, K.turns_8, K.turns_9) > 0
    or rc('ZCOUNT', K.waits, '-inf', string.format('%.0f', now_us)) > 0 then return '' end
  if rc('EXISTS', K.open, K.parked) > 0 then return 'limits' end
  return rc('EXISTS', K.rest) == 1 and 'order' or ''
end

-- A line for each limit by key: how many keys it holds, and its name.
local function held_keys()
  local fields, lines = {}, {}
  for i, limit in ipairs(structure.limits) do fields[i] = 'held:' .. string.byte(limit.id) end
  for i, count in ipairs(hmget(K.meta, fields)) do
    lines[i] = math.max(0, tonumber(count or 0)) .. ' ' .. structure.limits[i].name .. '\n'
  end
  return table.concat(lines)
end

-- The number of the structure in force; and about how many lanes a switch has not looked at, -1: none is under way.
local function structure_told()
  local m = rc('HMGET', K.meta, 'structure_number', 'switch')
  return tonumber(m[1] or 0), m[2] and rc('HLEN', K.heads) or -1
end
