-- include: events state finals callback weight waited hold_tail
-- The one way into a final state: result, purge time, callback and waiters in the same step.
local function forget(ulid)
  -- keyed: touched[ulid] = { '' }
  gather('HDEL', K.records, ulid)
  gather('HDEL', K.states, ulid)
  gather('HDEL', K.history, ulid)
end

-- s.state says which final state; keep_ms 0 keeps nothing at all, but what is waited for. The record is asked for where its
-- body goes: at delivered.
local function finish(ulid, s, record, keep_ms)
  s.final = now_ms
  tell_change(ulid, s.state)
  if announce(ulid) and keep_ms <= 0 then keep_ms = WAITED_KEEP_MS end
  if keep_ms > 0 or is_told(s) then s.tail = hold_tail(ulid, s.tail) end
  if is_told(s) then call_back(ulid, s, record) end
  if keep_ms <= 0 then return forget(ulid) end
  weigh_in(ulid, s)
  state_save(ulid, s)
  if s.state == 'D' then gather('HSET', K.records, ulid, record_without_body(record)) end
  gather('ZADD', FINAL_KEY[s.state], now_ms + keep_ms, ulid)
end
-- keyed include: lanes/finish
