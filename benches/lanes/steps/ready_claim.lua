#!lua
-- ready_claim: today's form, without keys. Rows as claim.
local rc = redis.call
local entries = rc('LRANGE', K.ready, 0, tonumber(ARGV[9]) - 1)
if #entries == 0 then return { 2, 'inf', 0 } end
local ulids, states, leases, taken = {}, {}, {}, {}
for i, entry in ipairs(entries) do ulids[i] = string.sub(entry, 1, 26) end
local records = rc('HMGET', K.records, unpack(ulids))
for i, ulid in ipairs(ulids) do
  states[2 * i - 1], states[2 * i] = ulid, ARGV[10]
  leases[2 * i - 1], leases[2 * i] = ARGV[11], ulid
  taken[3 * i - 2], taken[3 * i - 1], taken[3 * i] = ulid, ARGV[1], records[i]
end
rc('LTRIM', K.ready, #entries, -1)
rc('HSET', K.states, unpack(states))
rc('ZADD', K.leased, unpack(leases))
return { 0, '0', 0, unpack(taken) }
