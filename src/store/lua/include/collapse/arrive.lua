-- include: collapse/index
-- A message with a collapse key comes in.
--
-- Its record is whole but for what only this call knows: its due time, where the queue has `collapse.wait`, and the values of
-- the collapse field behind the hash. `collapse` in meta is the structure in force: WAIT_MS MAX_WAIT_MS.
--
-- A payload that was accepted earlier than the present one does not take its place: an event that a queue could not take
-- at once, a message that is moved here. Moments that two nodes give differ by less than so much.
local COLLAPSE_CLOCKS_MS = 1000
local waits = { string.match(rc('HGET', K.meta, 'collapse') or '', '^(%d+) (%d+)$') }
local wait_ms, max_wait_ms = tonumber(waits[1] or nil), tonumber(waits[2] or nil)
-- What this call has made due later, and whether it has made something ready.
local arrived = { due_first = nil, ready_added = false }

local function moment_of_ulid(ulid)
  local ms = 0
  for i = 1, 10 do ms = ms * 32 + string.find(BASE32, string.sub(ulid, i, i), 1, true) - 1 end
  return ms
end

local function collapse_enter(ulid, s)
  if enter_waiting(ulid, s) == WAKE_READY then arrived.ready_added = true
  elseif not arrived.due_first or s.due < arrived.due_first then arrived.due_first = s.due end
end

local function due_of_record(record) return (struct.unpack('>I6', record, 4)) end

local function moment_of_payload(record) return (struct.unpack('>I6', record, collapse_at(record) + 21)) end

-- The record with what only this call knows; place: the bytes that say when it was accepted.
local function collapse_record(record, due_ms, place, is_by_wait, superseded, moment_ms)
  local at, expires = collapse_at(record), string.sub(record, 10, 15)
  -- The default ttl of the queue counts from the due time that holds.
  if arrived.default_ttl_ms then expires = struct.pack('>I6', math.min(MOMENT_MAX_MS, due_ms + arrived.default_ttl_ms)) end
  return string.sub(record, 1, 3) .. struct.pack('>I6', due_ms) .. expires .. place
    .. string.sub(record, RECORD_HEADER_BYTES + 1, at + COLLAPSE_HASH_BYTES - 1)
    .. struct.pack('>BI4I6', is_by_wait and 1 or 0, superseded, moment_ms) .. string.sub(record, at + COLLAPSE_BYTES)
end

local function place_in_record(record) return string.sub(record, 16, RECORD_HEADER_BYTES) end

-- It is a message of its own. due_ms: another due time than its own. is_held: it waits for the one before it. Returns when it
-- is due.
local function collapse_take(ulid, record, due_ms, is_held)
  local own_ms, is_by_wait = due_of_record(record), false
  if not due_ms and own_ms <= now_ms and wait_ms then
    due_ms, is_by_wait = math.max(now_ms, math.min(now_ms + wait_ms, moment_of_ulid(ulid) + max_wait_ms)), true
  end
  due_ms = due_ms or own_ms
  record = collapse_record(record, due_ms, place_in_record(record), is_by_wait, 0, moment_of_ulid(ulid))
  record_largest(#record)
  gather('HSET', K.records, ulid, record)
  -- keyed: touched[ulid] = { 'w', record }
  local s = state_of_record(record)
  if is_held then
    if s.expires > 0 then gather('ZADD', K.expiry, s.expires, ulid) end
    gather('ZADD', K.due, COLLAPSE_NEVER_MS, entry_of(ulid, s))
    tell_change(ulid, 's')
  else
    collapse_enter(ulid, s)
  end
  flush()
  return due_ms
end

-- When a message is due whose payload is replaced now; nil: by `collapse.wait` of no other time than before.
local function postponed_ms(ulid, s, old)
  local flags = string.byte(old, collapse_at(old) + COLLAPSE_HASH_BYTES)
  if not wait_ms or flags % 2 == 0 or due_of_record(old) ~= s.due then return nil end
  local due_ms = math.min(now_ms + wait_ms, moment_of_ulid(ulid) + max_wait_ms)
  return (due_ms > now_ms or s.due > now_ms) and due_ms or s.due
end

-- A message takes the place of one that waits and of which no attempt has begun: its id, its place and, without
-- `collapse.wait`, its due time stay. Returns when it is due.
local function collapse_replace(ulid, s, old, record, moment_ms, is_held)
  local postponed = postponed_ms(ulid, s, old)
  local due_ms = postponed or s.due
  local superseded = struct.unpack('>I4', old, collapse_at(old) + COLLAPSE_HASH_BYTES + 1)
  record = collapse_record(
    record, postponed or due_of_record(old), place_in_record(old), postponed ~= nil, math.min(superseded + 1, 2 ^ 32 - 1), moment_ms)
  record_largest(#record)
  local is_touched, new = rc('HEXISTS', K.states, ulid) == 1, state_of_record(record)
  local moves = due_ms ~= s.due or new.band ~= s.band
  -- keyed: moves = true
  if is_held then
    rc('ZREM', K.due, entry_of(ulid, s))
  elseif moves then
    leave_waiting(ulid, s)
    flush()
    epoch_next(s)
    is_touched = true
  end
  if s.expires > 0 then rc('ZREM', K.expiry, ulid) end
  s.version, s.flags, s.band, s.due, s.expires = new.version, s.flags % 16 + told_flags(new.flags), new.band, due_ms, new.expires
  s.fields = new.fields
  gather('HSET', K.records, ulid, record)
  if is_touched then state_save(ulid, s) end
  -- keyed: touched[ulid] = { 'w', record }
  if moves and not is_held then
    collapse_enter(ulid, s)
  else
    if s.expires > 0 then rc('ZADD', K.expiry, s.expires, ulid) end
    if is_held then rc('ZADD', K.due, COLLAPSE_NEVER_MS, entry_of(ulid, s)) end
  end
  flush()
  return due_ms
end

-- Takes one in. keep_ms: for how long a cancelled message is kept. Returns a code as schedule does, nil where it was simply
-- accepted; which message it is now, and when that one is due. full: tells of a message of its own what of the backlog has no
-- room for it, as a code; nil: nobody asks.
local function collapse_arrive(ulid, record, keep_ms, full)
  local at, moment_ms = collapse_at(record), moment_of_ulid(ulid)
  local hash = string.sub(record, at, at + COLLAPSE_HASH_BYTES - 1)
  local first, newer = collapse_read(hash)
  local s, old = collapse_living(first)
  local newer_s, newer_old = collapse_living(newer)
  if newer_s and not (s and collapse_is_held(newer, newer_s)) then
    -- It waits for nobody any more.
    first, s, old, newer, newer_s = newer, newer_s, newer_old, nil, nil
  end
  if ulid == first or ulid == newer then return 0, ulid, (ulid == first and s or newer_s or s).due end
  local present, present_old = newer_s or s, newer_s and newer_old or old
  if present and present_old and collapse_at(present_old) and moment_of_payload(present_old) > moment_ms + COLLAPSE_CLOCKS_MS then
    return 3, newer_s and newer or first, present.due
  end
  if newer_s then return 3, newer, collapse_replace(newer, newer_s, newer_old, record, moment_ms, true) end
  if s and s.state == 'w' and not collapse_has_begun(s) then
    return 3, first, collapse_replace(first, s, old, record, moment_ms, false)
  end
  local no_room = full and not (s and s.state == 'w') and full(record)
  if no_room then return no_room, ulid, due_of_record(record) end
  if s and s.state ~= 'w' then
    local due_ms = collapse_take(ulid, record, nil, true)
    collapse_write(hash, first, ulid)
    return 0, ulid, due_ms
  end
  if s then
    local due_ms = s.due
    leave_waiting(first, s)
    flush()
    collapse_cancel(first, s, old, keep_ms)
    collapse_write(hash, ulid)
    collapse_take(ulid, record, due_ms, false)
    return 4, ulid, due_ms
  end
  local own_ms = due_of_record(record)
  local due_ms = collapse_take(ulid, record, nil, false)
  collapse_write(hash, ulid)
  return due_ms ~= own_ms and 0 or nil, ulid, due_ms
end
