#!lua
-- put_override: an override of a queue begins, in place of the one of its kind.
-- include: overrides
--
-- args: id kind definition until_ms:number most:number keep_ms:number
-- kind: queue and kind. definition: all of it, as JSON. most: how many may be in force at once, of all queues. keep_ms: for how long
-- one that is over is remembered.
-- returns: code:number now_ms:number
-- Codes: 0 it is in force, 1 there are as many as may be.
--
-- Safe to repeat: the same id is put once more, with the same definition.
prune(keep_ms)
local before = rc('HGET', O.current, kind)
if not before and rc('HLEN', O.current) >= most then return REPLY { code = 1, now_ms = now_ms } end
if before and before ~= id then rc('HSETNX', O.ended, before, now_ms) end
rc('HSET', O.definitions, id, definition)
rc('HSET', O.kinds, id, kind)
rc('HSET', O.current, kind, id)
rc('ZADD', O.ends, until_ms, id)
rc('HINCRBY', O.meta, 'version', 1)
return REPLY { code = 0, now_ms = now_ms }
