#!lua flags=allow-oom
-- format: what a node that starts needs to know before it writes: which version records are written as.
-- include: format
--
-- args: known:number
-- known: the newest version that this node has found here so far, or 0.
-- returns: schema:number version:number
-- schema: the newest version that may stand in the namespace. version: new records are written as it.
--
-- Safe to repeat: it sets what is not there.
local schema, version = format_now(known, false)
return REPLY { schema = schema, version = version }
