#!lua flags=no-writes
-- books: how large each structure is, and whether they add up to the records.
-- include: shard writes record packed state ready place
--
-- ARGV none
-- Returns {records, states, history, due, leased, uncertain, accepted, delivered, dead, expired,
--         cancelled, expiry, probes, refs, early, looks, entries in the ready lists, drift: messages that the records know beyond
--         those that are counted (negative: fewer), bytes of the largest record,
--         bytes of delivered, expired and cancelled messages by their weighing or -1: none, or not yet;
--         of dead ones}
local sizes = {}
for _, key in ipairs({ K.records, K.states, K.history }) do sizes[#sizes + 1] = rc('HLEN', key) end
for _, key in ipairs({ K.due, K.leased, K.uncertain, K.accepted, K.delivered, K.dead, K.expired,
  K.cancelled, K.expiry, K.probes }) do
  sizes[#sizes + 1] = rc('ZCARD', key)
end
sizes[14], sizes[15], sizes[16] = rc('HLEN', K.refs), rc('HLEN', K.early), rc('ZCARD', K.looks)
local m = rc('HMGET', K.meta, 'stale', 'largest', 'weigh_at', 'weight_delivered', 'weight_dead')
sizes[17] = ready_length()
sizes[18] = ready_by_records() - (sizes[17] - tonumber(m[1] or 0))
sizes[19] = tonumber(m[2] or 0)
sizes[20] = not m[3] and tonumber(m[4]) or -1
sizes[21] = not m[3] and tonumber(m[5]) or -1
return sizes
