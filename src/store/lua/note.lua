#!lua flags=allow-oom
-- note: an operator's action is written down, before it is done; the oldest go when there are too many.
-- include: actions
--
-- args: action kept_max:number
-- action: what is known of it, as JSON.
-- returns: id
-- id: it tells when, by Redis TIME.
--
-- A repeat after a lost reply notes it once more: an entry without an outcome.
local SWEEP_MAX = 100
local id = rc('XADD', A.list, '*', 'j', action)
local over = rc('XLEN', A.list) - kept_max
if over > 0 then
  local old = {}
  for i, entry in ipairs(rc('XRANGE', A.list, '-', '+', 'COUNT', math.min(over, SWEEP_MAX))) do
    old[i] = entry[1]
  end
  rc('XDEL', A.list, unpack(old))
  rc('HDEL', A.outcomes, unpack(old))
end
return REPLY { id = id }
