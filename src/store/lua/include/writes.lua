-- include: shard
-- Gathers writes, so that a script checks everything first and then writes variadically.
local gathered, order = {}, {}

-- Up to three values: a fixed shape, since this is called for every message.
local function gather(command, key, a, b, c)
  local by_key = gathered[command]
  if not by_key then
    by_key = {}
    gathered[command] = by_key
  end
  local list = by_key[key]
  if not list then
    list = { command = command, key = key }
    by_key[key] = list
    order[#order + 1] = list
  end
  local n = #list
  list[n + 1] = a
  if b ~= nil then list[n + 2] = b end
  if c ~= nil then list[n + 3] = c end
end

-- In chunks that fit Lua's stack; even, so that pairs stay together.
local function write_all(command, key, list)
  for from = 1, #list, 1000 do
    rc(command, key, unpack(list, from, math.min(from + 999, #list)))
  end
end

local function flush()
  for _, list in ipairs(order) do write_all(list.command, list.key, list) end
  gathered, order = {}, {}
end

-- Reads many fields of a hash; a missing one is false.
local function hmget(key, fields)
  if #fields <= 1000 and #fields > 0 then return rc('HMGET', key, unpack(fields)) end
  local values = {}
  for from = 1, #fields, 1000 do
    local part = rc('HMGET', key, unpack(fields, from, math.min(from + 999, #fields)))
    for _, value in ipairs(part) do values[#values + 1] = value end
  end
  return values
end
