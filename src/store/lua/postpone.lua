#!lua flags=allow-oom
-- postpone: a probe could not tell: the message stays uncertain, to be asked about later or no more.
-- include: shard writes events record packed state uncertain
--
-- ARGV[1] ulid   ARGV[2] fence, as probe gave it   ARGV[3] delay_ms, or -1: no further probe
-- ARGV[4] last words with the probe in them, or '': as they were
-- Returns {code, next probe_ms or -1}; codes: 0 ok, 2 stale: somebody else asked, planned or decided since,
--         3 no such message
--
-- Safe to repeat: the moment is another one then, so a repeat is stale and changes nothing.
local ulid, delay_ms = ARGV[1], tonumber(ARGV[3])
local _, states = load({ ulid })
local s = states[1]
if not s then return { 3, -1 } end
if s.state ~= 'U' or not probe_holds(ulid, s, ARGV[2]) then return { 2, -1 } end
rc('ZADD', K.probes, delay_ms < 0 and NEVER_MS or now_ms + delay_ms, ulid)
if ARGV[4] ~= '' then
  s.tail = ARGV[4]
  state_save(ulid, s)
end
flush()
return { 0, next_probe_ms() }
