-- include: state ready wake events
-- How a message comes to wait, in due or ready, and how it leaves.

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

-- keyed include: lanes/waiting
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
