#!lua flags=allow-oom
-- prune: final messages whose retention is over are deleted.
-- include: shard clock writes record state callback finish
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us
-- ARGV[3] most messages in this call   ARGV[4...] nodes that live: the last claims of others go too
-- Returns {0, now_us, pruned}, or {1, now_us}: the clock is in doubt, and nothing was done
--
-- Safe to repeat: what is gone is gone.
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end
local left = tonumber(ARGV[3])
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
for i = 4, #ARGV do living[ARGV[i]] = true end
for _, node in ipairs(rc('HKEYS', K.claims)) do
  if not living[string.sub(node, 1, 12)] then gather('HDEL', K.claims, node) end
end
flush()
return { 0, now_us, pruned }
