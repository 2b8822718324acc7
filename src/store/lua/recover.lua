#!lua flags=allow-oom
-- recover: a run of a server that was not met before serves this shard: noted once, with what it knows.
-- include: rows state
--
-- args: run knew_another:flag delay_us:number ulid...
-- run: of the server that answers. knew_another: the caller had met another run before. delay_us: before the limit's next
-- slot. ulid: one that the caller asks about.
-- returns: now_ms:number sequence:number met_ms:number state...
-- sequence: the newest accept sequence when this run was first met, at met_ms. state: '' where it is gone.
--
-- Safe to repeat: compare-and-set by the run, the rest reads. Nobody schedules here before this: what was
-- accepted under a later sequence is lost. The limit starts anew, as calls may be forgotten as well.
local m = rc('HMGET', K.meta, 'server', 'server_sequence', 'server_at', 'sequence', 'tat_us')
local sequence, met_ms = tonumber(m[2] or 0), tonumber(m[3] or 0)
if m[1] ~= run then
  sequence, met_ms = tonumber(m[4] or 0), now_ms
  rc('HSET', K.meta, 'server', run, 'server_sequence', sequence, 'server_at', met_ms)
  if m[1] or knew_another then
    local tat_us = math.max(tonumber(m[5] or 0), now_us + delay_us)
    rc('HSET', K.meta, 'tat_us', string.format('%.2f', tat_us))
  end
end
local reply = REPLY { now_ms = now_ms, sequence = sequence, met_ms = met_ms }
local _, states = load(ulids)
for i = 1, #ulids do reply[#reply + 1] = states[i] and states[i].state or '' end
return reply
