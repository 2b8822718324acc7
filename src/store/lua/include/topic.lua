-- The keys of one topic and the moment of this call.
--
-- What shard.lua is for the shard of a queue: scripts on topics declare these (src/store/redis/keys.rs).
local K = {
  meta = KEYS[1], events = KEYS[2], due = KEYS[3], put_off = KEYS[4], born = KEYS[5], left = KEYS[6],
  idem_new = KEYS[7], idem_old = KEYS[8],
}
local rc = redis.call
local time = rc('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
