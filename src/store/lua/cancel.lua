#!lua flags=allow-oom
-- cancel: scheduled, ready or uncertain → cancelled.
-- include: shard writes events record packed state finals ready wake waiting callback weight waited finish uncertain
--
-- ARGV[1] retention_ms   ARGV[2...] ulids
-- Returns per message {code, state before}, flat; codes: 0 ok, 1 was cancelled already, 3 no such
--         message, 5 wrong state
--
-- Safe to repeat: a cancelled message answers already.
local ulids, reply = {}, {}
for i = 2, #ARGV do ulids[#ulids + 1] = ARGV[i] end
local records, states = load(ulids)
for i, ulid in ipairs(ulids) do
  local s = states[i]
  local code, before = 0, s and s.state or ''
  if not s then code = 3
  elseif before == 'C' then code = 1
  elseif before ~= 'w' and before ~= 'U' then code = 5
  else
    if before == 'w' then leave_waiting(ulid, s) else leave_uncertain(ulid) end
    s.state = 'C'
    finish(ulid, s, records[i], tonumber(ARGV[1]))
  end
  reply[#reply + 1] = code
  reply[#reply + 1] = before
end
flush()
return reply
