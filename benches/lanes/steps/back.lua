#!lua
-- back: what did not start goes back to where it was. Rows: ulid, '1' where an attempt has begun.
-- include: settings record lanes flows limits index undo
for at = ROW, #ARGV, 2 do
  local ulid = ARGV[at]
  leave_lease(ulid, false)
  local record = rc('HGET', K.records, ulid)
  local keys, cost = keys_of(record)
  local _, _, _, flow = lane_of(record, keys)
  enter(ulid, record, ARGV[at + 1] == '1')
  flow_moves(flow, -share_of(flow, cost))
end
limits_write()
return 1
