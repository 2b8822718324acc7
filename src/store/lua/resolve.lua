#!lua flags=allow-oom
-- resolve: uncertain → delivered, ready or dead: the decision, an operator's or a prober's.
-- include: shard writes events record packed state finals ready wake waiting callback weight waited finish uncertain
--
-- ARGV[1] ulid   ARGV[2] delivered, resend or dead   ARGV[3] retention_ms   ARGV[4] last words, or ''
-- ARGV[5] fence of a prober, or '': an operator decides, and is right in any case
-- Returns {code, state before}; codes: 0 ok, 2 the prober is late, 3 no such message, 5 wrong state
--
-- Safe to repeat: once decided, the state is not uncertain any more and nothing changes.
local ulid = ARGV[1]
local records, states = load({ ulid })
local s = states[1]
if not s then return { 3, '' } end
local before = state_told(ulid, s)
if before ~= 'U' then return { 5, before } end
if ARGV[5] ~= '' and not probe_holds(ulid, s, ARGV[5]) then return { 2, before } end
local ready_before, added = ready_length(), false
leave_uncertain(ulid)
if ARGV[4] ~= '' then s.tail = ARGV[4] end
if ARGV[2] == 'resend' then
  s.state, s.due = 'w', now_ms
  epoch_next(s)
  enter_waiting(ulid, s)
  state_save(ulid, s)
  added = true
else
  s.state = ARGV[2] == 'delivered' and 'D' or 'X'
  finish(ulid, s, records[1], tonumber(ARGV[3]))
end
flush()
wake(nil, nil, ready_before, added)
return { 0, before }
