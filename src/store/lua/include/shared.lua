-- include: limits
-- The account of a shared limit: one limit, over all queues that name it. Its keys are named like those of a shard:
--   meta     its state, under its name (see limits), and when the keys of charges turned
--   claims   what each node has started of it, for after a rollback
--   states   hash: queue → what it has used, as the limit itself is kept; `~charged`: what was charged from outside
--   tags     sorted set: queue that was refused by since when it waits, us
--   waits    the same queues by when they ask again, us
--   held     hash: number of a reservation, or of a return → units of it that have gone back
--   expiry   the same numbers by when that was, ms
--   idem:new, idem:old   hash: idempotency key of a charge → its fingerprint
local CHARGED = '~charged'
-- A queue that was told to ask again comes by then.
local COMES_WITHIN_US = 10000
-- A number that goes back is not repeated later than that.
local REPEATED_WITHIN_MS = 3600000

-- Counts units of both periods for a queue; below zero, they have gone back.
local function count_for(who, limit, units)
  local kept = { a = limit.a, b = limit.b, c = limit.c, d = limit.d }
  local text = rc('HGET', K.states, who) or ''
  if limit.is_rate then
    local minute, this, before = string.match(text, '^0%.0 (%d+) (%d+) (%d+)$')
    kept.minute, kept.in_minute = tonumber(minute) or 0, { tonumber(this) or 0, tonumber(before) or 0 }
    minute_count(kept, units[1] + units[2])
    rc('HSET', K.states, who, string.format('0.0 %d %d %d', kept.minute, kept.in_minute[1], kept.in_minute[2]))
    return
  end
  quota_read(kept, text)
  for at = 1, 2 do kept.used[at] = math.max(0, kept.used[at] + units[at]) end
  rc('HSET', K.states, who, string.format('%s %s %d %s %s %d', limit.b, limit.c, kept.used[1], limit.c, limit.d, kept.used[2]))
end

-- How many units other queues have come for that have waited longer for a rate, and until when they are waited for.
local function owed_to_others(queue)
  local waiting, owed, until_us = rc('ZRANGE', K.waits, 0, -1, 'WITHSCORES'), 0, 0
  if #waiting == 0 then return 0, 0 end
  local mine_us = tonumber(rc('ZSCORE', K.tags, queue) or now_us)
  for i = 1, #waiting, 2 do
    local comes_us = tonumber(waiting[i + 1]) + COMES_WITHIN_US
    local since_us = tonumber(rc('ZSCORE', K.tags, waiting[i]) or now_us)
    local is_first = since_us < mine_us or (since_us == mine_us and waiting[i] < queue)
    if waiting[i] ~= queue and comes_us > now_us and is_first then owed, until_us = owed + 1, math.max(until_us, comes_us) end
  end
  return owed, until_us
end

local function queue_waits(queue, wait_us)
  rc('ZADD', K.tags, 'NX', string.format('%.0f', now_us), queue)
  rc('ZADD', K.waits, string.format('%.0f', now_us + math.max(0, wait_us)), queue)
  rc('ZREMRANGEBYSCORE', K.waits, '-inf', string.format('%.0f', now_us - COMES_WITHIN_US))
end

local function queue_got_some(queue)
  rc('ZREM', K.tags, queue)
  rc('ZREM', K.waits, queue)
end
