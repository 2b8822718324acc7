#!lua flags=allow-oom
-- window: the window of the queue has closed until a moment, or is open; kept for those who ask later what a message waited for.
-- include: shard hold_book
--
-- args: since_ms:number until_ms:number
-- since_ms: when it closed; 0: it is open now, whatever was to be expected before. until_ms: when it opens by what is in force.
-- returns: now_ms:number
--
-- Safe to repeat: a closing that is known already only learns when it ends.
local m = rc('HMGET', K.meta, 'closed_since', 'closed_until')
local known_since_ms, known_until_ms = tonumber(m[1] or nil), tonumber(m[2] or 0)
if since_ms == 0 then
  if known_since_ms and known_until_ms > now_ms then rc('HSET', K.meta, 'closed_until', now_ms) end
elseif known_since_ms and since_ms <= known_until_ms then
  rc('HSET', K.meta, 'closed_until', string.format('%.0f', until_ms))
else
  if known_since_ms then hold_book('w', known_since_ms, known_until_ms) end
  rc('HSET', K.meta, 'closed_since', string.format('%.0f', since_ms), 'closed_until', string.format('%.0f', until_ms))
end
return REPLY { now_ms = now_ms }
