#!lua flags=no-writes
-- standing: how a shared limit stands, and what each queue has used of it.
-- include: limits
--
-- args: limit is_rate:flag
-- limit: its name.
-- returns: now_ms:number kept debt (who used_by)...
-- kept, debt: see limits. Each row is a queue, or `~charged`, and what it has used, as the limit itself is kept.
local reply = REPLY {
  now_ms = now_ms, kept = rc('HGET', K.meta, limit_field(limit, is_rate)) or '', debt = rc('HGET', K.meta, 'debt:' .. limit) or '',
}
local used = rc('HGETALL', K.states)
for i = 1, #used, 2 do REPLY_ROW { who = used[i], used_by = used[i + 1] } end
return reply
