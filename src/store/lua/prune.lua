#!lua flags=allow-oom
-- prune: final messages whose retention is over are deleted.
-- include: shard writes record state finish
--
-- ARGV[1] most messages in this call   ARGV[2...] nodes that live: the last claims of others go too
-- Returns {pruned}
--
-- Safe to repeat: what is gone is gone.
local left = tonumber(ARGV[1])
local pruned = 0
for _, key in ipairs({ K.delivered, K.dead, K.expired, K.cancelled }) do
  local ulids = rc('ZRANGE', key, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, left - pruned)
  for _, ulid in ipairs(ulids) do
    forget(ulid)
    gather('ZREM', key, ulid)
  end
  pruned = pruned + #ulids
  if pruned >= left then break end
end
rc('ZREMRANGEBYSCORE', K.waited, '-inf', now_ms)
local living = {}
for i = 2, #ARGV do living[ARGV[i]] = true end
for _, node in ipairs(rc('HKEYS', K.claims)) do
  if not living[node] then gather('HDEL', K.claims, node) end
end
flush()
return { pruned }
