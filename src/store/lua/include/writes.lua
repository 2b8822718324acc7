-- Gathers writes, so that a script checks everything first and then writes variadically.
local gathered, order = {}, {}

local function gather(command, key, ...)
  local id = command .. key
  local list = gathered[id]
  if not list then
    list = { command = command, key = key }
    gathered[id] = list
    order[#order + 1] = list
  end
  for _, value in ipairs({ ... }) do list[#list + 1] = value end
end

-- In chunks that fit Lua's stack; even, so that pairs stay together.
local function write_list(list)
  for from = 1, #list, 1000 do
    rc(list.command, list.key, unpack(list, from, math.min(from + 999, #list)))
  end
end

local function flush()
  for _, list in ipairs(order) do write_list(list) end
  gathered, order = {}, {}
end

-- Reads many fields of a hash; a missing one is false.
local function hmget(key, fields)
  local values = {}
  for from = 1, #fields, 1000 do
    local part = rc('HMGET', key, unpack(fields, from, math.min(from + 999, #fields)))
    for _, value in ipairs(part) do values[#values + 1] = value end
  end
  return values
end
