#!lua flags=allow-oom
-- give_back: units of quotas of calls that surely did not start, where no script that gives the messages back can reach
-- the home slot: permits of a queue with several shards, and halves of a batch.
-- include: limits
--
-- args: node limit_lines (slot_us:number calls:number messages:number)...
-- node: 12 bytes, who was granted them. Each row is a call, and the units that it took. limit_lines: of a queue with keys it ends with
-- `slots SLOT_US...`, those that nobody used (see lanes/returned).
-- returns: now_ms:number
--
-- Not repeated: after a lost reply the units stay taken.
local limits = limits_read(limit_lines, 0)
for i = 1, ROWS do
  limits_give_back(limits, ROW[i].slot_us, ROW[i].calls, ROW[i].messages)
end
limits_save(limits, node)
-- keyed include: lanes/returned
-- keyed: returned_add(string.match(limit_lines, 'slots ([^\n]+)') or '')
-- keyed: returned_save()
return REPLY { now_ms = now_ms }
