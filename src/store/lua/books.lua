#!lua flags=no-writes
-- books: how large each structure is, and whether they add up to the records.
-- include: ready place
--
-- returns: records:number states:number history:number due:number leased:number uncertain:number accepted:number
-- returns: delivered:number dead:number expired:number cancelled:number expiry:number probes:number refs:number early:number
-- returns: looks:number collapse:number lanes:number ready:number drift:number largest:number delivered_bytes:number dead_bytes:number
-- lanes: members that the index of a queue with keys has beside its messages. ready: those in the ready lists and in lanes. drift: messages that the records know beyond those that are counted (negative:
-- fewer). largest: bytes of the largest record. The bytes by their weighing, or -1: none, or not yet; delivered: with
-- expired and cancelled ones.
local m = rc('HMGET', K.meta, 'stale', 'largest', 'weigh_at', 'weight_delivered', 'weight_dead')
local ready = ready_length()
local function zset(key) return rc('ZCARD', key) end
local lanes = 0
-- keyed: lanes = rc('HLEN', K.heads) + zset(K.waits) + rc('HLEN', K.lent) + rc('HLEN', K.held) + rc('HLEN', K.flight)
return REPLY {
  records = rc('HLEN', K.records), states = rc('HLEN', K.states), history = rc('HLEN', K.history),
  due = zset(K.due), leased = zset(K.leased), uncertain = zset(K.uncertain), accepted = zset(K.accepted),
  delivered = zset(K.delivered), dead = zset(K.dead), expired = zset(K.expired), cancelled = zset(K.cancelled),
  expiry = zset(K.expiry), probes = zset(K.probes), refs = rc('HLEN', K.refs), early = rc('HLEN', K.early),
  looks = zset(K.looks), collapse = rc('HLEN', K.collapse), lanes = lanes, ready = ready, drift = ready_by_records() - (ready - tonumber(m[1] or 0)),
  largest = tonumber(m[2] or 0),
  delivered_bytes = not m[3] and tonumber(m[4]) or -1, dead_bytes = not m[3] and tonumber(m[5]) or -1,
}
