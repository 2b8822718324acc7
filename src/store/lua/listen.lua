#!lua flags=allow-oom
-- listen: somebody listens to the changes of this shard, or may come back to: its stream is there for a while.
-- include: shard
--
-- args: kept_ms:number since_ms:number?
-- kept_ms: for how long somebody listens, or may come back to. since_ms: changes are wanted since then; none: from now
-- on.
-- returns: now_ms:number is_gap:flag
-- is_gap: some since that moment may be gone, or were never told.
--
-- Safe to repeat: the stream begins once, and is there for as long as was last said.
if rc('EXISTS', K.events) == 0 then rc('XADD', K.events, '*', 'begin', '') end
rc('PEXPIRE', K.events, kept_ms)
local first = rc('XRANGE', K.events, '-', '+', 'COUNT', 1)[1]
local first_ms = tonumber(string.match(first[1], '^%d+'))
return REPLY { now_ms = now_ms, is_gap = since_ms and first_ms > since_ms }
