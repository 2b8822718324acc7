#!lua
-- publish: – → kept. Keeps an event, with the queues of its moment, until each of them has its message.
-- include: topic idempotency
--
-- ARGV[1] idempotency_window_ms   ARGV[2] most events that may be kept
-- ARGV[3] for how long its publisher completes it alone, ms
-- ARGV[4] ulid   ARGV[5] idempotency key or ''   ARGV[6] fingerprint (16 bytes)
-- ARGV[7] queues, by comma   ARGV[8] the event
-- Returns {now_ms, code, ulid, queues, taken_ms}; codes: 0 kept, 1 duplicate (ulid and queues are the
--         first event's), 2 the key belongs to a different event (ulid), 3 too many are kept
--
-- Safe to repeat: an event that is kept, or whose key names it, is answered as kept again. One without
-- a key that was completed meanwhile is kept once more, and completed again: ids follow from the event,
-- so the queues recognise their messages. A duplicate writes too, so that a durability wait after this
-- call covers the first event.
idempotency_turn(tonumber(ARGV[1]))
local ulid, key = ARGV[4], ARGV[5]
local kept = rc('HGET', K.events, ulid)
if kept then
  rc('HINCRBY', K.meta, 'repeats', 1)
  return { now_ms, 0, ulid, ARGV[7], (struct.unpack('>I6', kept)) }
end
if key ~= '' then
  local first, rest = idempotency_find(key)
  if first then
    rc('HINCRBY', K.meta, 'duplicates', 1)
    local queues = string.sub(rest, 17)
    if first == ulid then return { now_ms, 0, ulid, queues, now_ms } end
    local code = string.sub(rest, 1, 16) == ARGV[6] and 1 or 2
    return { now_ms, code, first, queues, now_ms }
  end
end
if rc('HLEN', K.events) >= tonumber(ARGV[2]) then return { now_ms, 3, ulid, '', now_ms } end

rc('HSET', K.events, ulid, struct.pack('>I6', now_ms) .. ARGV[8])
rc('ZADD', K.due, now_ms + tonumber(ARGV[3]), ulid)
rc('ZADD', K.born, now_ms, ulid)
if key ~= '' then rc('HSET', K.idem_new, key, ulid .. ARGV[6] .. ARGV[7]) end
return { now_ms, 0, ulid, ARGV[7], now_ms }
