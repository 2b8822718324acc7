#!lua flags=allow-oom
-- end_override: an override ends before its time.
-- include: overrides
--
-- args: id
-- returns: code:number now_ms:number
-- Codes: 0 it has ended, 1 none with this id was in force.
--
-- Safe to repeat: it has ended then, which is code 1. A repeat writes too, so that a durability wait after it covers the first.
rc('HINCRBY', O.meta, 'version', 1)
local kind = rc('HGET', O.kinds, id)
if not kind or rc('HGET', O.current, kind) ~= id then return REPLY { code = 1, now_ms = now_ms } end
rc('HDEL', O.current, kind)
if tonumber(rc('ZSCORE', O.ends, id)) <= now_ms then return REPLY { code = 1, now_ms = now_ms } end
rc('HSET', O.ended, id, now_ms)
return REPLY { code = 0, now_ms = now_ms }
