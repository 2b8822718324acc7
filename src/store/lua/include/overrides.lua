-- The overrides of a namespace, those of all queues together, and the moment of this call.
--
--   definitions   hash: id → what it is, as JSON
--   kinds         hash: id → queue and kind
--   current       hash: queue and kind → id of the one that is in force
--   ended         hash: id → when somebody ended it, ms
--   ends          sorted set: id by when it ends by itself, ms
--   meta          hash: `version`, which grows with each change
local O = {
  definitions = KEYS[1], kinds = KEYS[2], current = KEYS[3], ended = KEYS[4], ends = KEYS[5], meta = KEYS[6],
}
local rc = redis.call
local time = rc('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local PRUNED_MAX = 100

-- What is over makes room, and is forgotten after a time.
local function prune(keep_ms)
  for _, id in ipairs(rc('ZRANGE', O.ends, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, PRUNED_MAX)) do
    local kind = rc('HGET', O.kinds, id)
    if kind and rc('HGET', O.current, kind) == id then rc('HDEL', O.current, kind) end
  end
  local old = rc('ZRANGE', O.ends, '-inf', now_ms - keep_ms, 'BYSCORE', 'LIMIT', 0, PRUNED_MAX)
  if #old > 0 then
    for _, name in ipairs({ 'definitions', 'kinds', 'ended' }) do rc('HDEL', O[name], unpack(old)) end
    rc('ZREM', O.ends, unpack(old))
  end
end
