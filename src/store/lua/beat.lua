#!lua flags=allow-oom
-- beat: a sign of life of a node, in one call that makes room in the end (see keep).
-- include: format
--
-- args: node info seen_ms:number known:number
-- info: what the node says of itself, as JSON. seen_ms: the clock's sign of life. known: the newest version of records
-- that this node has found here so far.
-- returns: alarm before nodes:list schema:number version:number behind:list
-- alarm: of the clock, what all nodes left behind, or ''. before: what the beat before wrote, or '' (see erasure). nodes:
-- who has shown itself, and when, ms. schema: the newest version of records that may stand in the namespace. version: new
-- records are written as it. behind: what nodes say of themselves that do not read the newest version.
--
-- Safe to repeat: it writes what is.
local before = rc('HGET', K.infos, node) or ''
rc('HSET', K.infos, node, info)
rc('ZADD', K.nodes, now_ms, node)
local alarm = rc('HGET', K.clock, 'alarm') or ''
rc('HSET', K.clock, 'seen_ms', seen_ms)
local schema, version, behind = format_now(known, true)
return REPLY {
  alarm = alarm, before = before, nodes = rc('ZRANGE', K.nodes, 0, -1, 'WITHSCORES'), schema = schema, version = version,
  behind = behind,
}
