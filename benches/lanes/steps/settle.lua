#!lua
-- settle: attempts are over. Rows: ulid, 'done' (final or accepted: its order key goes on) or 'retry' (it waits outside of the
-- index and keeps its order key), and for 'retry' when it is skipped, us, or 'inf'.
-- include: settings record lanes flows limits index undo
for at = ROW, #ARGV, 3 do
  local ulid, how, stall_us = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local lane = leave_lease(ulid, true)
  if how == 'done' then rc('HDEL', K.records, ulid) end
  local h = lane and lane_read(lane)
  if h and h.state == 'b' and h.ulid == ulid then
    if how == 'done' then lane_frees(lane, h)
    elseif stall_us ~= 'inf' then rc('ZADD', K.waits, stall_us, ORDER .. lane) end
  end
end
limits_write()
return 1
