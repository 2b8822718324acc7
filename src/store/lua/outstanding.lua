#!lua flags=no-writes
-- outstanding: a reading. What a topic keeps, since some queue lacks it still.
-- include: topic
--
-- returns: now_ms:number events:number oldest_ms:number left
-- oldest_ms: when the oldest was published, or -1. left: the queues that lack it, by comma, or ''.
--
-- Safe to repeat: it writes nothing.
local oldest = rc('ZRANGE', K.born, 0, 0, 'WITHSCORES')
local left = oldest[1] and rc('HGET', K.left, oldest[1]) or ''
return REPLY {
  now_ms = now_ms, events = rc('HLEN', K.events), oldest_ms = tonumber(oldest[2] or -1), left = left,
}
