#!lua flags=allow-oom
-- receive: accepted → delivered or dead: the downstream's receipt. One that comes before our own
-- bookkeeping is kept, and closes the message in the step that accepts it.
-- include: shard writes events record packed state finals ready wake waiting callback weight waited finish uncertain receipt
--
-- ARGV[1] ulid, or '': by reference   ARGV[2] reference, or ''   ARGV[3] D delivered, X dead
-- ARGV[4] detail as a JSON string, or ''   ARGV[5] retention_ms of delivered messages   ARGV[6] of dead ones
-- ARGV[7] how long a receipt is kept for a message that is not accepted yet, ms; 0: an unknown reference is only told
-- Returns {code, ulid or '', state before or ''}; codes: 0 ok, 1 already, 2 kept, 3 no such message or
--         reference, 5 wrong state, or a kept receipt says otherwise, 7 too many receipts are kept
--
-- Safe to repeat: a message that is closed answers already, a kept receipt is kept once. A repeat writes
-- too, so that a durability wait after it covers the first.
local ulid, reference, said, detail = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local keep = { delivered = tonumber(ARGV[5]), dead = tonumber(ARGV[6]) }
local kept_ms = tonumber(ARGV[7])
if ulid == '' then
  ulid = rc('HGET', K.refs, reference) or ''
  if ulid == '' then
    if kept_ms == 0 then return { 3, '', '' } end
    return { keep_early('#' .. reference, said, detail, kept_ms), '', '' }
  end
end
local records, states = load({ ulid })
local s = states[1]
if not s then return { 3, ulid, '' } end
local before = s.state
rc('HSET', K.meta, 'received', now_ms)
if before == 'L' then return { keep_early('=' .. ulid, said, detail, kept_ms), ulid, before } end
if FINAL[before] then return { before == said and 1 or 5, ulid, before } end
-- A late success is still a success; a late refusal of a message that waits to be sent again is not one.
if before == 'w' and (said == 'X' or s.attempts == 0) then return { 5, ulid, state_told(ulid, s) } end
if before == 'w' then leave_waiting(ulid, s)
elseif before == 'U' then leave_uncertain(ulid)
else gather('ZREM', K.accepted, ulid) end
close(ulid, s, records[1], said, detail, keep)
flush()
return { 0, ulid, before }
