#!lua
-- operation_start: – → running. An operation is written down; a node takes it up.
-- include: operations
--
-- ARGV[1] id   ARGV[2] definition   ARGV[3] progress   ARGV[4] most that run at a time
-- Returns {0, or 1: too many run}
--
-- Safe to repeat: one that is there already is written again as far as it never changes, so that a
-- durability wait covers the first call.
local id = ARGV[1]

-- How many run: what has no definition is nobody's.
local function running()
  local count = 0
  for _, other in ipairs(rc('ZRANGE', O.running, 0, -1)) do
    count = count + rc('HEXISTS', O.definitions, other)
  end
  return count
end

local is_known = rc('HEXISTS', O.definitions, id) == 1
if not is_known and running() >= tonumber(ARGV[4]) then return { 1 } end
rc('HSET', O.definitions, id, ARGV[2])
if not is_known then
  rc('HSET', O.progress, id, ARGV[3])
  rc('ZADD', O.running, now_ms, id)
end
return { 0 }
