#!lua flags=no-writes
-- outstanding: a reading. What a topic keeps, since some queue lacks it still.
-- include: topic
--
-- Returns {now_ms, events, when the oldest was published or -1, the queues that lack it or ''}
--
-- Safe to repeat: it writes nothing.
local oldest = rc('ZRANGE', K.born, 0, 0, 'WITHSCORES')
local left = oldest[1] and rc('HGET', K.left, oldest[1]) or ''
return { now_ms, rc('HLEN', K.events), tonumber(oldest[2] or -1), left }
