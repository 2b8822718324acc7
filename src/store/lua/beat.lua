#!lua flags=allow-oom
-- beat: a sign of life of a node, in one call that makes room in the end (see keep).
-- include: beat
--
-- args: node info seen_ms:number
-- info: what the node says of itself, as JSON. seen_ms: the clock's sign of life.
-- returns: alarm before nodes:list
-- alarm: of the clock, what all nodes left behind, or ''. before: what the beat before wrote, or '' (see erasure). nodes:
-- who has shown itself, and when, ms.
--
-- Safe to repeat: it writes what is.
local before = rc('HGET', K.infos, node) or ''
rc('HSET', K.infos, node, info)
rc('ZADD', K.nodes, now_ms, node)
local alarm = rc('HGET', K.clock, 'alarm') or ''
rc('HSET', K.clock, 'seen_ms', seen_ms)
return REPLY { alarm = alarm, before = before, nodes = rc('ZRANGE', K.nodes, 0, -1, 'WITHSCORES') }
