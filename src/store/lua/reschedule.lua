#!lua flags=allow-oom
-- reschedule: another due time, priority, expiry or payload for a message that waits (payload also
-- while it is dead or uncertain).
-- include: waiting weight
--
-- args: ulid due_at ranks expires_at with_payload:flag payload
-- due_at: '' (as it is), '+delay_ms' or 'moment_ms'. ranks: priority and band (two digits) or ''. expires_at: '', '0'
-- (never) or like due_at.
-- returns: code:number before wake:number
-- before: the state until now. Codes: 0 ok, 3 no such message, 5 wrong state, 6 expires_at would not be after due_at.
--
-- Safe to repeat: the same wishes lead to the same message (a delay counts from the last call).
local records, states = load({ ulid })
local s, record = states[1], record_read(records[1])
if not s then return REPLY { code = 3, before = '', wake = 0 } end
local waits = s.state == 'w'
local only_payload = due_at == '' and ranks == '' and expires_at == ''
local before = state_told(ulid, s)
local can_be = waits or (only_payload and (s.state == 'X' or s.state == 'U'))
if not can_be or (before == 'r' and with_payload) then
  return REPLY { code = 5, before = before, wake = 0 }
end

local due = moment(due_at, s.due)
local expires = moment(expires_at, s.expires)
local new_times = due_at ~= '' or expires_at ~= ''
if new_times and expires > 0 and expires <= due then return REPLY { code = 6, before = before, wake = 0 } end
local band = s.band
if ranks ~= '' then
  record.priority, band = tonumber(string.sub(ranks, 1, 1)), tonumber(string.sub(ranks, 2))
end
local head, ready_before, entered = due_head(), ready_length(), 0
local keeps_place = before == 'r' and due <= now_ms and band == s.band
-- keyed: if due_at ~= '' then keeps_place = false end
if keeps_place then
  if s.expires > 0 then rc('ZREM', K.expiry, ulid) end
  if expires > 0 then gather('ZADD', K.expiry, expires, ulid) end
elseif waits and not only_payload then
  local is_held = s.fields ~= '' and tonumber(rc('ZSCORE', K.due, entry_of(ulid, s)) or 0) == RUST.NEVER_MS
  leave_waiting(ulid, s)
  flush()
  s.expires, s.due, s.band = expires, due, band
  epoch_next(s)
  if is_held then
    -- The message of its collapse key before it is still on its way.
    if expires > 0 then gather('ZADD', K.expiry, expires, ulid) end
    gather('ZADD', K.due, RUST.NEVER_MS, entry_of(ulid, s))
  else
    entered = enter_waiting(ulid, s)
  end
end
s.expires, record.expires, record.band = expires, expires, s.band
if waits and not only_payload then state_save(ulid, s) end
if with_payload then
  local length = struct.unpack('>H', record.rest)
  record.rest = string.sub(record.rest, 1, 2 + length) .. payload
  if math.floor(record.flags / 2) % 2 == 0 then record.flags = record.flags + 2 end
end
local packed = record_pack(record)
record_largest(#packed)
if not waits and is_weighed(s) then weight_changes_by(s.state, #packed - #records[1]) end
gather('HSET', K.records, ulid, packed)
-- keyed: touched[ulid] = { s.state, packed }
flush()
local flags = wake(head, entered == WAKE_DUE and s.due or nil, ready_before, entered == WAKE_READY)
return REPLY { code = 0, before = before, wake = flags }
