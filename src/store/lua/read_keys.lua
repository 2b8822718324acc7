#!lua flags=no-writes
-- read_keys: what keys of a queue were given at run time, in the order of their bytes.
-- include: shard
--
-- args: from to most:number
-- from, to: bounds of members of `key_settings` (see put_key), as ZRANGE takes them.
-- returns: now_ms:number count:number has_more:flag (value settings)...
-- count: of all of them.
local members = rc('ZRANGE', K.key_settings, from, to, 'BYLEX', 'LIMIT', 0, most + 1)
local reply = REPLY { now_ms = now_ms, count = rc('ZCARD', K.key_settings), has_more = #members > most }
for i = 1, math.min(#members, most) do
  local at = string.find(members[i], '\0', 1, true)
  REPLY_ROW { value = string.sub(members[i], 1, at - 1), settings = string.sub(members[i], at + 1) }
end
return reply
