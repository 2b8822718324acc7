#!lua flags=allow-oom
-- reschedule: another due time, priority, expiry or payload for a message that waits (payload also
-- while it is dead or uncertain).
-- include: shard writes events record packed state ready wake waiting weight
--
-- ARGV[1] ulid   ARGV[2] due: '', '+delay_ms' or 'moment_ms'   ARGV[3] priority and band (two digits) or ''
-- ARGV[4] expires: '', '0' (never) or like due                 ARGV[5] 1: ARGV[6] is the new payload
-- Returns {code, state before, wake}; codes: 0 ok, 3 no such message, 5 wrong state, 6 expires_at
--         would not be after due_at
--
-- Safe to repeat: the same wishes lead to the same message (a delay counts from the last call).
local ulid = ARGV[1]
local records, states = load({ ulid })
local s, record = states[1], record_read(records[1])
if not s then return { 3, '', 0 } end
local waits = s.state == 'w'
local only_payload = ARGV[2] == '' and ARGV[3] == '' and ARGV[4] == ''
local before = state_told(ulid, s)
if not waits and not (only_payload and (s.state == 'X' or s.state == 'U')) then return { 5, before, 0 } end
if before == 'r' and ARGV[5] == '1' then return { 5, before, 0 } end

local due = moment(ARGV[2], s.due)
local expires = moment(ARGV[4], s.expires)
local new_times = ARGV[2] ~= '' or ARGV[4] ~= ''
if new_times and expires > 0 and expires <= due then return { 6, before, 0 } end
local band = s.band
if ARGV[3] ~= '' then
  record.priority, band = tonumber(string.sub(ARGV[3], 1, 1)), tonumber(string.sub(ARGV[3], 2))
end
local head, ready_before, entered = due_head(), ready_length(), 0
local keeps_place = before == 'r' and due <= now_ms and band == s.band
if keeps_place then
  if s.expires > 0 then rc('ZREM', K.expiry, ulid) end
  if expires > 0 then gather('ZADD', K.expiry, expires, ulid) end
elseif waits and not only_payload then
  leave_waiting(ulid, s)
  flush()
  s.expires, s.due, s.band = expires, due, band
  epoch_next(s)
  entered = enter_waiting(ulid, s)
end
s.expires, record.expires, record.band = expires, expires, s.band
if waits and not only_payload then state_save(ulid, s) end
if ARGV[5] == '1' then
  local length = struct.unpack('>H', record.rest)
  record.rest = string.sub(record.rest, 1, 2 + length) .. ARGV[6]
  if math.floor(record.flags / 2) % 2 == 0 then record.flags = record.flags + 2 end
end
local packed = record_pack(record)
record_largest(#packed)
if not waits and is_weighed(s) then weight_changes_by(s.state, #packed - #records[1]) end
gather('HSET', K.records, ulid, packed)
flush()
return { 0, before,
  wake(head, entered == WAKE_DUE and s.due or nil, ready_before, entered == WAKE_READY) }
