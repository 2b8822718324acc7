#!lua flags=allow-oom
-- pursue: kept → kept. Takes events that their publisher left behind, for a while, to complete them.
-- include: topic
--
-- args: most:number bytes_max:number alone_ms:number far_ms:number was_put_off:flag
-- bytes_max: at least one event comes. alone_ms: for how long nobody else takes them. far_ms: one that is due later than
-- so long from now was put off by a clock that stepped back, so it is due now. was_put_off: those that were, else those
-- that nobody has tried again yet.
-- returns: now_ms:number has_more:flag (ulid left event)...
-- has_more: there may be. left: the queues that lack it, by comma, or '': all of them.
--
-- Safe to repeat: what a lost reply took comes again after ARGV[3]; and completing twice does no harm.
local bytes_left = bytes_max
local lane = was_put_off and K.put_off or K.due
local found = rc('ZRANGE', lane, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)
if #found < most then
  local from = now_ms + far_ms
  for _, ulid in ipairs(rc('ZRANGE', lane, from, '+inf', 'BYSCORE', 'LIMIT', 0, most - #found)) do
    found[#found + 1] = ulid
  end
end
local taken = {}
for _, ulid in ipairs(found) do
  bytes_left = bytes_left - rc('HSTRLEN', K.events, ulid)
  if bytes_left < 0 and #taken > 0 then break end
  taken[#taken + 1] = ulid
end
local reply = REPLY { now_ms = now_ms, has_more = #taken < #found or #found >= most }
if #taken == 0 then return reply end
local events, lefts = rc('HMGET', K.events, unpack(taken)), rc('HMGET', K.left, unpack(taken))
for at, ulid in ipairs(taken) do
  if events[at] then
    rc('ZADD', lane, now_ms + alone_ms, ulid)
    REPLY_ROW { ulid = ulid, left = lefts[at] or '', event = events[at] }
  else
    rc('ZREM', lane, ulid)
  end
end
return reply
