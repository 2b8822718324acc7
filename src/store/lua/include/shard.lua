-- The keys of one shard and the moment of this call.
--
-- Every script declares the whole shard in one order (src/store/keys.rs), and behind it what a final
-- state writes of the queue's callbacks; no key is ever built in a script. TIME is read once, here: all else in the script uses now_us and now_ms.
local K = {
  meta = KEYS[1], records = KEYS[2], states = KEYS[3], history = KEYS[4],
  due = KEYS[5], leased = KEYS[6], exchanges = KEYS[7], expiry = KEYS[8],
  uncertain = KEYS[9], accepted = KEYS[10],
  delivered = KEYS[11], dead = KEYS[12], expired = KEYS[13], cancelled = KEYS[14],
  idem_new = KEYS[15], idem_old = KEYS[16], claims = KEYS[17], waited = KEYS[18],
  probes = KEYS[29], ticks = KEYS[30], refs = KEYS[31], early = KEYS[32], looks = KEYS[33], events = KEYS[34],
}
local READY = {
  [0] = KEYS[19], KEYS[20], KEYS[21], KEYS[22], KEYS[23],
  KEYS[24], KEYS[25], KEYS[26], KEYS[27], KEYS[28],
}
local rc = redis.call
local time = rc('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)

-- Tells every node something about this shard, or about its callbacks; the channel follows from the
-- shard's tag.
local function publish(topic, detail, of_callbacks)
  local tag, set = string.match(K.meta, '{(.-)}:(.-)meta$')
  if of_callbacks or set ~= '' then tag = string.gsub(tag, '%.%d+$', '~callbacks%0') end
  rc('PUBLISH', string.match(tag, '^(.-):') .. ':' .. topic, tag .. detail)
end
