#!lua flags=no-writes
-- profile: what of the backlog of a shard becomes due when, and how it lies in lanes.
-- include: ready wake state
--
-- args: is_first:flag from_ms:number step_ms:number steps:number lanes_max:number
-- returns: ready:number due lanes
-- due: how many messages are due in each step from from_ms on, with a space between two; the first counts all that are due before as
-- well, where is_first says so. lanes: of a queue with keys, at most lanes_max lanes: lane 8, flow 8, messages u32. They are taken as the index has them, and at
-- most twice as many are looked at.
local due = {}
for i = 1, steps do
  local from = is_first and i == 1 and '-inf' or string.format('%.0f', from_ms + (i - 1) * step_ms)
  due[i] = rc('ZCOUNT', K.due, from, string.format('(%.0f', from_ms + i * step_ms))
end
local stale = tonumber(rc('HGET', K.meta, 'stale') or 0)
local lanes = {}
-- keyed include: lanes/profile
-- keyed: if is_laned and is_first then lanes = lanes_profile(lanes_max) end
return REPLY { ready = math.max(0, (ready_length()) - stale), due = table.concat(due, ' '), lanes = table.concat(lanes) }
