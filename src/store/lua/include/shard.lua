-- The moment of this call, and the keys of its shard.
--
-- K.<name> is a key (src/store/redis/keys.rs): what stands here once the script is put together is its number among
-- those that the script declares (src/store/redis/script/assembly.rs); no key is ever built in a script. TIME is read once,
-- here: all else in the script uses now_us and now_ms.
local KEYS = KEYS
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
