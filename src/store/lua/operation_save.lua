#!lua flags=allow-oom
-- operation_save: how far an operation has come, by the run that carries it out; ends it, if it has ended.
-- include: operations
--
-- args: id token lease_ms:number progress is_ended:flag kept_max:number
-- lease_ms: 0 lets somebody else go on. kept_max: of those that have ended.
-- returns: is_lost:flag stopped_by
-- is_lost: another run carries it out, and nothing was written. stopped_by: who asked to stop it, or ''.
--
-- Safe to repeat: the same progress is written again; after the end its repeat answers 0 as well.
local _, holder = lease_of(id)
if holder ~= token then
  local is_repeat = is_ended and rc('HGET', O.progress, id) == progress
  return REPLY { is_lost = not is_repeat, stopped_by = '' }
end
local stop = rc('HGET', O.stops, id) or ''
rc('HSET', O.progress, id, progress)
if is_ended then
  rc('ZREM', O.running, id)
  rc('HDEL', O.leases, id)
  rc('HDEL', O.stops, id)
  rc('ZADD', O.ended, now_ms, id)
  for _, old in ipairs(rc('ZRANGE', O.ended, 0, -1 - kept_max)) do
    rc('HDEL', O.definitions, old)
    rc('HDEL', O.progress, old)
    rc('ZREM', O.ended, old)
  end
elseif lease_ms == 0 then
  rc('HDEL', O.leases, id)
else
  lease_keep(id, token, lease_ms)
end
return REPLY { is_lost = false, stopped_by = stop }
