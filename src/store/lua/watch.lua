#!lua flags=allow-oom
-- watch: marks ids that somebody waits for, and tells which are final already.
-- include: shard writes events record packed state
--
-- ARGV[1] for how long, ms   ARGV[2...] ulids
-- Returns per message 1 if it is final or gone, else 0
--
-- Safe to repeat: a mark is a mark. Register first, then read: no final state falls in between.
local ulids, reply = {}, {}
for i = 2, #ARGV do ulids[#ulids + 1] = ARGV[i] end
local _, states = load(ulids)
for i, ulid in ipairs(ulids) do
  local s = states[i]
  if not s or FINAL[s.state] then
    reply[i] = 1
  else
    reply[i] = 0
    gather('ZADD', K.waited, now_ms + tonumber(ARGV[1]), ulid)
  end
end
flush()
return reply
