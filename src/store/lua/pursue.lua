#!lua flags=allow-oom
-- pursue: kept → kept. Takes events that their publisher left behind, for a while, to complete them.
-- include: topic
--
-- ARGV[1] most events   ARGV[2] most bytes (at least one event)
-- ARGV[3] for how long nobody else takes them, ms
-- ARGV[4] due later than so long from now: put off by a clock that stepped back, so it is due now
-- ARGV[5] 0: those that nobody has tried again yet, 1: those that were put off
-- Returns {now_ms, 1 if there may be more, then per event: ulid, queues that lack it or '', event}
--
-- Safe to repeat: what a lost reply took comes again after ARGV[3]; and completing twice does no harm.
local most, bytes_left = tonumber(ARGV[1]), tonumber(ARGV[2])
local lane = ARGV[5] == '1' and K.put_off or K.due
local found = rc('ZRANGE', lane, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)
if #found < most then
  local from = now_ms + tonumber(ARGV[4])
  for _, ulid in ipairs(rc('ZRANGE', lane, from, '+inf', 'BYSCORE', 'LIMIT', 0, most - #found)) do
    found[#found + 1] = ulid
  end
end
local reply, taken = { now_ms, 0 }, {}
for _, ulid in ipairs(found) do
  bytes_left = bytes_left - rc('HSTRLEN', K.events, ulid)
  if bytes_left < 0 and #taken > 0 then break end
  taken[#taken + 1] = ulid
end
if #taken == #found and #found < most then reply[2] = 0 else reply[2] = 1 end
if #taken == 0 then return reply end
local events, lefts = rc('HMGET', K.events, unpack(taken)), rc('HMGET', K.left, unpack(taken))
for at, ulid in ipairs(taken) do
  if events[at] then
    rc('ZADD', lane, now_ms + tonumber(ARGV[3]), ulid)
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = ulid, lefts[at] or '', events[at]
  else
    rc('ZREM', lane, ulid)
  end
end
return reply
