#!lua flags=allow-oom
-- conclude: kept → –, or put off. Forgets events that every queue has, and puts the others off.
-- include: topic
--
-- args: put_off_ms:number (ulid left)...
-- left: the queues that lack it still, by comma; '': none.
-- returns: now_ms:number kept:number
-- kept: how many are kept still.
--
-- Safe to repeat: what is gone stays gone, also if somebody who knows less comes later.
for i = 1, ROWS do
  local ulid, left = ROW[i].ulid, ROW[i].left
  if left == '' then
    rc('HDEL', K.events, ulid)
    rc('HDEL', K.left, ulid)
    rc('ZREM', K.due, ulid)
    rc('ZREM', K.put_off, ulid)
    rc('ZREM', K.born, ulid)
  elseif rc('HEXISTS', K.events, ulid) == 1 then
    rc('HSET', K.left, ulid, left)
    rc('ZREM', K.due, ulid)
    rc('ZADD', K.put_off, now_ms + put_off_ms, ulid)
  end
end
return REPLY { now_ms = now_ms, kept = rc('HLEN', K.events) }
