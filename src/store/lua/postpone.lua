#!lua flags=allow-oom
-- postpone: a probe could not tell: the message stays uncertain, to be asked about later or no more.
-- include: uncertain state
--
-- args: ulid probe_token delay_ms:number? tail
-- probe_token: as probe gave it. delay_ms: none: no further probe. tail: the last words with the probe in them, or '': as
-- they were.
-- returns: code:number next_ms:number
-- Codes: 0 ok, 2 stale: somebody else asked, planned or decided since, 3 no such message. next_ms: the next probe, or -1.
--
-- Safe to repeat: the moment is another one then, so a repeat is stale and changes nothing.
local _, states = load({ ulid })
local s = states[1]
if not s then return REPLY { code = 3, next_ms = -1 } end
if s.state ~= 'U' or not probe_holds(ulid, s, probe_token) then return REPLY { code = 2, next_ms = -1 } end
rc('ZADD', K.probes, delay_ms and now_ms + delay_ms or NEVER_MS, ulid)
if tail ~= '' then
  s.tail = tail
  state_save(ulid, s)
end
flush()
return REPLY { code = 0, next_ms = next_probe_ms() }
