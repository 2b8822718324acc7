#!lua flags=allow-oom
-- watch: marks ids that somebody waits for, and tells which are final already.
-- include: rows state
--
-- args: waited_ms:number ulid...
-- waited_ms: for how long.
-- returns: is_final:flag...
-- is_final: it is, or it is gone.
--
-- Safe to repeat: a mark is a mark. Register first, then read: no final state falls in between.
local reply = {}
local _, states = load(ulids)
for i, ulid in ipairs(ulids) do
  local s = states[i]
  local is_final = not s or FINAL[s.state]
  if not is_final then gather('ZADD', K.waited, now_ms + waited_ms, ulid) end
  REPLY_ROW { is_final = is_final }
end
flush()
return reply
