#!lua flags=allow-oom
-- note: an operator's action is written down, before it is done; the oldest go when there are too many.
-- include: actions
--
-- ARGV[1] what is known of it, as JSON   ARGV[2] most that are kept
-- Returns {its id, which tells when by Redis TIME}
--
-- A repeat after a lost reply notes it once more: an entry without an outcome.
local SWEEP_MAX = 100
local id = rc('XADD', A.list, '*', 'j', ARGV[1])
local over = rc('XLEN', A.list) - tonumber(ARGV[2])
if over > 0 then
  local old = {}
  for i, entry in ipairs(rc('XRANGE', A.list, '-', '+', 'COUNT', math.min(over, SWEEP_MAX))) do
    old[i] = entry[1]
  end
  rc('XDEL', A.list, unpack(old))
  rc('HDEL', A.outcomes, unpack(old))
end
return { id }
