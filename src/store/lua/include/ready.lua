-- All writes to the ready lists go through here, and so does what wakes the sleepers.
local WAKE_DUE, WAKE_READY = 1, 2

-- How many entries stand in all bands, and in each.
local function ready_length()
  local length, lengths = rc('LLEN', READY[0]), { 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  lengths[0] = length
  -- Most queues have one band.
  if rc('EXISTS', unpack(READY)) > 0 then
    for band = 1, 9 do
      lengths[band] = rc('LLEN', READY[band])
      length = length + lengths[band]
    end
  end
  return length, lengths
end

-- An entry that names no band is nobody's; claim skips it, wherever it stands.
local function ready_tail(entry, band)
  gather('RPUSH', READY[band] or READY[0], entry)
end

-- The same for many, each into the band it names, in runs.
local function ready_tail_all(entries)
  local from, band = 1, string.byte(entries[1], 27)
  for i = 2, #entries + 1 do
    local next_band = i <= #entries and string.byte(entries[i], 27)
    if next_band ~= band or i - from == 1000 then
      rc('RPUSH', READY[(band or 48) - 48] or READY[0], unpack(entries, from, i - 1))
      from, band = i, next_band
    end
  end
end

-- Back to the head, in the order given (LPUSH turns it round, so callers walk backwards).
local function ready_head(entry, band)
  gather('LPUSH', READY[band], entry)
end

-- Whether an entry still stands for its message; reads no body.
local function entry_is_current(entry)
  local ulid = string.sub(entry, 1, 26)
  local s = load_states({ ulid })[1]
  if s then return s.state == 'w' and entry_of(ulid, s) == entry end
  return string.sub(entry, 28) == epoch_text(0) and rc('HEXISTS', K.records, ulid) == 1
end

-- The state as callers read it: a waiting message that does not stand in due is ready.
local function state_told(ulid, s)
  if s.state == 'w' and not rc('ZSCORE', K.due, entry_of(ulid, s)) then return 'r' end
  return s.state
end

-- A waiting message leaves its index for good: out of due, or, where it is ready, its entry becomes
-- stale and is counted, so that the ready count stays true without an LREM.
local function leave_waiting(ulid, s)
  if rc('ZREM', K.due, entry_of(ulid, s)) == 0 then
    rc('HINCRBY', K.meta, 'stale', 1)
  end
  if s.expires > 0 then gather('ZREM', K.expiry, ulid) end
end

-- Puts a message into due or ready by its due time; returns what that may wake.
local function enter_waiting(ulid, s)
  if s.expires > 0 then gather('ZADD', K.expiry, s.expires, ulid) end
  if s.due <= now_ms then
    ready_tail(entry_of(ulid, s), s.band)
    tell_change(ulid, 'r')
    return WAKE_READY
  end
  gather('ZADD', K.due, s.due, entry_of(ulid, s))
  tell_change(ulid, 's')
  return WAKE_DUE
end

-- A leased message waits again, before all others; callers walk backwards, see ready_head.
local function back_to_head(ulid, s)
  s.state = 'w'
  if s.expires > 0 then gather('ZADD', K.expiry, s.expires, ulid) end
  epoch_next(s)
  ready_head(entry_of(ulid, s), s.band)
  tell_change(ulid, 'r')
  state_save(ulid, s)
end

-- Gives an attempt back: no byte left, so max_age has not begun either, unless a throttle began it.
local function attempt_undo(s, keeps_age)
  s.attempts = math.max(0, s.attempts - 1)
  if s.attempts == 0 and s.throttles == 0 and not keeps_age then s.first = 0 end
end

-- The earliest due time before this call wrote, or nil.
local function due_head()
  return tonumber(rc('ZRANGE', K.due, 0, 0, 'WITHSCORES')[2])
end

-- Wakes other nodes when this call made an earlier head or filled an empty ready list.
local function wake(head_before, due_first, ready_before, ready_added)
  local flags = 0
  if due_first and (not head_before or due_first < head_before) then flags = WAKE_DUE end
  if ready_added and ready_before == 0 then flags = flags + WAKE_READY end
  if flags > 0 then publish('wake', ' ' .. flags) end
  if ready_added and ready_before > 0 then flags = flags + WAKE_READY end
  return flags
end
