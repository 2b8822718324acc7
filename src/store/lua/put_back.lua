#!lua flags=allow-oom
-- put_back: units of a shared quota go back, that were reserved and that no call used, or whose call surely did not start.
-- include: shared
--
-- args: node limit_lines queue (number slot_us:number units:number)...
-- node: 12 bytes, who had reserved them. Each row: the number under which they go back, the slot of their call, and how many units
-- have gone back under this number in all.
-- returns: now_ms:number
--
-- Safe to repeat: what has gone back under a number is remembered, so that a repeat gives nothing back. What comes after the end of
-- its period changes nothing.
local limits = limits_read(limit_lines, 0)
local limit, by_period = limits[1], { 0, 0 }
for i = 1, ROWS do
  local number, slot_us, units = ROW[i].number, ROW[i].slot_us, ROW[i].units
  local more = units - tonumber(rc('HGET', K.held, number) or 0)
  local at = not limit.is_rate and slot_us >= limit.from[1] * 1000 and period_of(limit, slot_us) or 3
  if more > 0 and at < 3 then
    rc('HSET', K.held, number, units)
    rc('ZADD', K.expiry, now_ms, number)
    limits_give_back(limits, slot_us, more, more)
    by_period[at] = by_period[at] - more
  end
end
limits_save(limits, node)
if by_period[1] + by_period[2] < 0 then count_for(queue, limit, by_period) end
local over = rc('ZRANGE', K.expiry, '-inf', now_ms - REPEATED_WITHIN_MS, 'BYSCORE', 'LIMIT', 0, 100)
if #over > 0 then
  rc('HDEL', K.held, unpack(over))
  rc('ZREM', K.expiry, unpack(over))
end
return REPLY { now_ms = now_ms }
