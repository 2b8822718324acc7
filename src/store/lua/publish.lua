#!lua
-- publish: – → kept. Keeps an event, with the queues of its moment, until each of them has its message.
-- include: topic idempotency
--
-- args: window_ms:number kept_max:number alone_ms:number ulid key fingerprint queues event
-- kept_max: events. alone_ms: for how long its publisher completes it alone. key: of idempotency, or ''. fingerprint: 16
-- bytes. queues: by comma.
-- returns: now_ms:number code:number ulid queues taken_ms:number
-- Codes: 0 kept, 1 duplicate (ulid and queues are the first event's), 2 the key belongs to a different event (ulid), 3
-- too many are kept.
--
-- Safe to repeat: an event that is kept, or whose key names it, is answered as kept again. One without
-- a key that was completed meanwhile is kept once more, and completed again: ids follow from the event,
-- so the queues recognise their messages. A duplicate writes too, so that a durability wait after this
-- call covers the first event.
local function answer(code, of, its_queues, taken_ms)
  return REPLY { now_ms = now_ms, code = code, ulid = of, queues = its_queues, taken_ms = taken_ms }
end

idempotency_turn(window_ms)
local kept = rc('HGET', K.events, ulid)
if kept then
  rc('HINCRBY', K.meta, 'repeats', 1)
  local taken_ms = struct.unpack('>I6', kept)
  return answer(0, ulid, queues, taken_ms)
end
if key ~= '' then
  local first, rest = idempotency_find(key)
  if first then
    rc('HINCRBY', K.meta, 'duplicates', 1)
    local first_queues = string.sub(rest, 17)
    if first == ulid then return answer(0, ulid, first_queues, now_ms) end
    local code = string.sub(rest, 1, 16) == fingerprint and 1 or 2
    return answer(code, first, first_queues, now_ms)
  end
end
if rc('HLEN', K.events) >= kept_max then return answer(3, ulid, '', now_ms) end

rc('HSET', K.events, ulid, struct.pack('>I6', now_ms) .. event)
rc('ZADD', K.due, now_ms + alone_ms, ulid)
rc('ZADD', K.born, now_ms, ulid)
if key ~= '' then rc('HSET', K.idem_new, key, ulid .. fingerprint .. queues) end
return answer(0, ulid, queues, now_ms)
