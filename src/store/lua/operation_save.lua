#!lua flags=allow-oom
-- operation_save: how far an operation has come, by the run that carries it out; ends it, if it has ended.
-- include: operations
--
-- ARGV[1] id   ARGV[2] token   ARGV[3] lease_ms, 0: somebody else may go on   ARGV[4] progress
-- ARGV[5] 1: it has ended, else 0   ARGV[6] most that are kept after their end
-- Returns {0, who asked to stop it or ''}, or {1, ''}: another run carries it out, and nothing was written
--
-- Safe to repeat: the same progress is written again; after the end its repeat answers 0 as well.
local id, token = ARGV[1], ARGV[2]
local _, holder = lease_of(id)
if holder ~= token then
  local is_repeat = ARGV[5] == '1' and rc('HGET', O.progress, id) == ARGV[4]
  return { is_repeat and 0 or 1, '' }
end
local stop = rc('HGET', O.stops, id) or ''
rc('HSET', O.progress, id, ARGV[4])
if ARGV[5] == '1' then
  rc('ZREM', O.running, id)
  rc('HDEL', O.leases, id)
  rc('HDEL', O.stops, id)
  rc('ZADD', O.ended, now_ms, id)
  for _, old in ipairs(rc('ZRANGE', O.ended, 0, -1 - tonumber(ARGV[6]))) do
    rc('HDEL', O.definitions, old)
    rc('HDEL', O.progress, old)
    rc('ZREM', O.ended, old)
  end
elseif ARGV[3] == '0' then
  rc('HDEL', O.leases, id)
else
  lease_keep(id, token, tonumber(ARGV[3]))
end
return { 0, stop }
