#!lua
-- fire: – → ready. Takes in the message of one tick of a schedule, once for ever.
-- include: shard new_record ready wake events
--
-- args: schedule nominal_ms:number version:number ulid expires ranks rest remembered_ms:number keep_ms:number
-- version: of a new record. expires: '' or '+ttl_ms'. ranks: see new_record. rest: number 0 (u8), optional fields, details
-- and body. remembered_ms: for how long ticks are. keep_ms: of messages that are cancelled since this one takes their place.
-- returns: now_ms:number wake:number sequence:number is_new:flag
-- sequence: the accept sequence before this call. is_new: it was taken in now.
--
-- The ticks of a schedule come one after the other, so the last nominal time that was taken in tells of
-- every earlier one, however late a node repeats it and whatever became of the message since. Safe to
-- repeat for that reason; a repeat writes too, so that a durability wait covers the first.
local known_from_ms = now_ms - remembered_ms
local last_ms = tonumber(rc('ZSCORE', K.ticks, schedule) or -1)
local sequence = rc('HINCRBY', K.meta, 'sequence', 1) - 1
for _, old in ipairs(rc('ZRANGE', K.ticks, '-inf', known_from_ms, 'BYSCORE', 'LIMIT', 0, 10)) do
  gather('ZREM', K.ticks, old)
end
if nominal_ms <= last_ms or nominal_ms <= known_from_ms then
  flush()
  return REPLY { now_ms = now_ms, wake = 0, sequence = sequence, is_new = false }
end
gather('ZADD', K.ticks, nominal_ms, schedule)
local expires_ms = moment(expires, 0)
local record = RECORD_OF_RANK[ranks] .. struct.pack('>I6I6I6', now_ms, expires_ms, sequence) .. rest
-- collapsing: local function arrive()
  -- collapsing include: collapse/arrive
-- collapsing:   local head_before, length_before = due_head(), ready_length()
-- collapsing:   collapse_arrive(ulid, record, keep_ms)
-- collapsing:   flush()
-- collapsing:   return wake(head_before, arrived.due_first, length_before, arrived.ready_added)
-- collapsing: end
-- collapsing: do return REPLY { now_ms = now_ms, wake = arrive(), sequence = sequence, is_new = true } end
record_largest(#record)
local band = string.sub(ranks, 2, 2)
if expires_ms > 0 then gather('ZADD', K.expiry, expires_ms, ulid) end
local ready_before = ready_length()
gather('HSET', K.records, ulid, record)
-- keyed: touched[ulid] = { 'w', record }
ready_tail(ulid .. band .. '00', tonumber(band))
tell_change(ulid, 'r')
flush()
local flags = wake(nil, nil, ready_before, true)
return REPLY { now_ms = now_ms, wake = flags, sequence = sequence, is_new = true }
