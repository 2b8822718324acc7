#!lua flags=allow-oom
-- conclude: kept → –, or put off. Forgets events that every queue has, and puts the others off.
-- include: topic
--
-- ARGV[1] for how long to put off, ms
-- ARGV[2...] per event: ulid, the queues that lack it by comma ('': none)
-- Returns {now_ms, how many are kept still}
--
-- Safe to repeat: what is gone stays gone, also if somebody who knows less comes later.
for at = 2, #ARGV, 2 do
  local ulid, left = ARGV[at], ARGV[at + 1]
  if left == '' then
    rc('HDEL', K.events, ulid)
    rc('HDEL', K.left, ulid)
    rc('ZREM', K.due, ulid)
    rc('ZREM', K.put_off, ulid)
    rc('ZREM', K.born, ulid)
  elseif rc('HEXISTS', K.events, ulid) == 1 then
    rc('HSET', K.left, ulid, left)
    rc('ZREM', K.due, ulid)
    rc('ZADD', K.put_off, now_ms + tonumber(ARGV[1]), ulid)
  end
end
return { now_ms, rc('HLEN', K.events) }
