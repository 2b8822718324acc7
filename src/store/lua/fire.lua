#!lua
-- fire: – → ready. Takes in the message of one tick of a schedule, once for ever.
-- include: shard writes events record ready wake
--
-- ARGV[1] schedule   ARGV[2] nominal time, ms   ARGV[3] ulid   ARGV[4] expires ('' or '+ttl_ms')
-- ARGV[5] priority, band, with callbacks a letter: see record   ARGV[6] number 0 (u8), details and body   ARGV[7] ms for which ticks are remembered
-- Returns {now_ms, wake, accept sequence before this call, 1 if it was taken in now else 0}
--
-- The ticks of a schedule come one after the other, so the last nominal time that was taken in tells of
-- every earlier one, however late a node repeats it and whatever became of the message since. Safe to
-- repeat for that reason; a repeat writes too, so that a durability wait covers the first.
local name, nominal_ms, ulid = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local known_from_ms = now_ms - tonumber(ARGV[7])
local last_ms = tonumber(rc('ZSCORE', K.ticks, name) or -1)
local sequence = rc('HINCRBY', K.meta, 'sequence', 1) - 1
for _, old in ipairs(rc('ZRANGE', K.ticks, '-inf', known_from_ms, 'BYSCORE', 'LIMIT', 0, 10)) do
  gather('ZREM', K.ticks, old)
end
if nominal_ms <= last_ms or nominal_ms <= known_from_ms then
  flush()
  return { now_ms, 0, sequence, 0 }
end
gather('ZADD', K.ticks, nominal_ms, name)
local expires_ms = moment(ARGV[4], 0)
if expires_ms > 0 then gather('ZADD', K.expiry, expires_ms, ulid) end
local record = RECORD_OF_RANK[ARGV[5]] .. struct.pack('>I6I6I6', now_ms, expires_ms, sequence) .. ARGV[6]
record_largest(#record)
local band = string.sub(ARGV[5], 2, 2)
local ready_before = ready_length()
gather('HSET', K.records, ulid, record)
ready_tail(ulid .. band .. '00', tonumber(band))
tell_change(ulid, 'r')
flush()
return { now_ms, wake(nil, nil, ready_before, true), sequence, 1 }
