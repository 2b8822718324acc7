#!lua flags=allow-oom
-- listen: somebody listens to the changes of this shard, or may come back to: its stream is there for a while.
-- include: shard
--
-- ARGV[1] for how long, ms   ARGV[2] since which moment changes are wanted, ms; '': from now on
-- Returns {now_ms, 1 if some since that moment may be gone, or were never told, else 0}
--
-- Safe to repeat: the stream begins once, and is there for as long as was last said.
if rc('EXISTS', K.events) == 0 then rc('XADD', K.events, '*', 'begin', '') end
rc('PEXPIRE', K.events, ARGV[1])
local first = rc('XRANGE', K.events, '-', '+', 'COUNT', 1)[1]
local first_ms = tonumber(string.match(first[1], '^%d+'))
return { now_ms, ARGV[2] ~= '' and first_ms > tonumber(ARGV[2]) and 1 or 0 }
