#!lua
-- operation_start: – → running. An operation is written down; a node takes it up.
-- include: operations
--
-- args: id definition progress running_max:number
-- returns: are_too_many:flag
--
-- Safe to repeat: one that is there already is written again as far as it never changes, so that a
-- durability wait covers the first call.
-- How many run: what has no definition is nobody's.
local function running()
  local count = 0
  for _, other in ipairs(rc('ZRANGE', O.running, 0, -1)) do
    count = count + rc('HEXISTS', O.definitions, other)
  end
  return count
end

local is_known = rc('HEXISTS', O.definitions, id) == 1
if not is_known and running() >= running_max then return REPLY { are_too_many = true } end
rc('HSET', O.definitions, id, definition)
if not is_known then
  rc('HSET', O.progress, id, progress)
  rc('ZADD', O.running, now_ms, id)
end
return REPLY { are_too_many = false }
