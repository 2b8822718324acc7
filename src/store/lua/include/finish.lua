-- The one way into a final state: result, purge time, callback and waiters in the same step.
local waited_any = rc('ZCARD', K.waited) > 0
-- How long a message stays for whoever waits for it where nothing is kept.
local WAITED_KEEP_MS = 60000

-- Tells those who wait for it; whether there are any.
local function announce(ulid)
  if not waited_any or not rc('ZSCORE', K.waited, ulid) then return false end
  gather('ZREM', K.waited, ulid)
  publish('final', ' ' .. ulid)
  return true
end

local function forget(ulid)
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
  if is_told(s) then call_back(ulid, s, record) end
  if keep_ms <= 0 then return forget(ulid) end
  weigh_in(ulid, s)
  state_save(ulid, s)
  if s.state == 'D' then gather('HSET', K.records, ulid, record_without_body(record)) end
  gather('ZADD', FINAL_KEY[s.state], now_ms + keep_ms, ulid)
end

-- The same for many at once of which nobody is told, all leased until now; `states` are their new entries, ready to write.
local function finish_delivered(ulids, states, records, keep_ms)
  for _, ulid in ipairs(waited_any and ulids or {}) do announce(ulid) end
  tell_changes(ulids, 'D')
  write_all('ZREM', K.leased, ulids)
  if keep_ms <= 0 then
    write_all('HDEL', K.records, ulids)
    write_all('HDEL', K.states, ulids)
    if rc('HLEN', K.history) > 0 then write_all('HDEL', K.history, ulids) end
    return
  end
  local slim, purges = {}, {}
  local purge_ms = string.format('%d', now_ms + keep_ms)
  for i, ulid in ipairs(ulids) do
    local n = 2 * i
    slim[n - 1], slim[n] = ulid, record_without_body(records[i])
    purges[n - 1], purges[n] = purge_ms, ulid
  end
  write_all('HSET', K.states, states)
  write_all('HSET', K.records, slim)
  write_all('ZADD', K.delivered, purges)
  if weighing() > 0 then weigh_in_delivered(ulids, states, slim) end
end
