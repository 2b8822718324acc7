-- Keys that producers gave, with the id and the fingerprint of the first message: two generations,
-- swapped by time, so that no key needs an expiry of its own. A key is known for at least the
-- window and for at most twice as long.
local function idempotency_turn(window_ms)
  local turned_ms = tonumber(rc('HGET', K.meta, 'idem_turned') or 0)
  if turned_ms == 0 then return rc('HSET', K.meta, 'idem_turned', now_ms) end
  if now_ms - turned_ms < window_ms then return end
  rc('UNLINK', K.idem_old)
  if now_ms - turned_ms >= 2 * window_ms then
    rc('UNLINK', K.idem_new)
  elseif rc('EXISTS', K.idem_new) == 1 then
    rc('RENAME', K.idem_new, K.idem_old)
  end
  rc('HSET', K.meta, 'idem_turned', now_ms)
end

-- ULID and fingerprint of the first message with this key, or nil.
local function idempotency_find(key)
  local known = rc('HGET', K.idem_new, key) or rc('HGET', K.idem_old, key)
  -- What somebody else wrote there names no message.
  if not known or not string.match(known, '^[0-7]%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w') then return nil end
  return string.sub(known, 1, 26), string.sub(known, 27)
end
