#!lua flags=allow-oom
-- recover: a run of a server that was not met before serves this shard: noted once, with what it knows.
-- include: rows state limits
--
-- args: run knew_another:flag node horizon_us:number limit_lines shares ulid...
-- run: of the server that answers. knew_another: the caller had met another run before. node: the caller, 12 bytes.
-- horizon_us: how far ahead slots may have been given out. limit_lines: see limits. shares: what the caller has started of
-- quotas, a line for each: 'NAME START_MS END_MS UNITS'. ulid: one that the caller asks about.
-- returns: now_ms:number sequence:number met_ms:number state...
-- sequence: the newest accept sequence when this run was first met, at met_ms. state: '' where it is gone.
--
-- Safe to repeat: compare-and-set by the run, the rest reads. Nobody schedules here before this: what was
-- accepted under a later sequence is lost. Rates start anew, without a burst, as calls may be forgotten as well; quotas
-- are raised by what each node has started and Redis does not know any more.
local m = rc('HMGET', K.meta, 'server', 'server_sequence', 'server_at', 'sequence')
local sequence, met_ms = tonumber(m[2] or 0), tonumber(m[3] or 0)
local limits = limits_read(limit_lines, horizon_us)
if m[1] ~= run then
  sequence, met_ms = tonumber(m[4] or 0), now_ms
  rc('HSET', K.meta, 'server', run, 'server_sequence', sequence, 'server_at', met_ms)
  if m[1] or knew_another then
    -- Rates by key, whose calls may be forgotten as well (see lanes/limits).
    rc('HSET', K.meta, 'rates_from', string.format('%.0f', now_us + horizon_us))
    for _, limit in ipairs(limits) do
      if limit.is_rate then
        limit.arrival_us = math.max(limit.arrival_us, now_us + horizon_us + limit.tolerance_us)
        limit.is_changed = true
      end
    end
  end
end
for name, start_ms, end_ms, units in string.gmatch(shares, '(%S+) (%d+) (%d+) (%d+)\n') do
  for _, limit in ipairs(limits) do
    if limit.name == name and not limit.is_rate then quota_raise(limit, node, start_ms, end_ms, tonumber(units)) end
  end
end
limits_save(limits, node)
local reply = REPLY { now_ms = now_ms, sequence = sequence, met_ms = met_ms }
local _, states = load(ulids)
for i = 1, #ulids do reply[#reply + 1] = states[i] and states[i].state or '' end
return reply
