#!lua flags=allow-oom
-- recover: a run of a server that was not met before serves this shard: noted once, with what it knows.
-- include: shard writes events record packed state
--
-- ARGV[1] the run of the server that answers   ARGV[2] 1: the caller had met another run before, else 0
-- ARGV[3] delay_us before the limit's next slot   ARGV[4...] ulids that the caller asks about
-- Returns {now_ms, newest accept sequence when this run was first met, moment_ms of that, then per ulid
--         its state, or '' if it is gone}
--
-- Safe to repeat: compare-and-set by the run, the rest reads. Nobody schedules here before this: what was
-- accepted under a later sequence is lost. The limit starts anew, as calls may be forgotten as well.
local run, knew_another = ARGV[1], ARGV[2] == '1'
local m = rc('HMGET', K.meta, 'server', 'server_sequence', 'server_at', 'sequence', 'tat_us')
local sequence, met_ms = tonumber(m[2] or 0), tonumber(m[3] or 0)
if m[1] ~= run then
  sequence, met_ms = tonumber(m[4] or 0), now_ms
  rc('HSET', K.meta, 'server', run, 'server_sequence', sequence, 'server_at', met_ms)
  if m[1] or knew_another then
    local tat_us = math.max(tonumber(m[5] or 0), now_us + tonumber(ARGV[3]))
    rc('HSET', K.meta, 'tat_us', string.format('%.2f', tat_us))
  end
end
local ulids, reply = {}, { now_ms, sequence, met_ms }
for i = 4, #ARGV do ulids[#ulids + 1] = ARGV[i] end
local _, states = load(ulids)
for i = 1, #ulids do reply[#reply + 1] = states[i] and states[i].state or '' end
return reply
