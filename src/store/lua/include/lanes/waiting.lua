-- include: lanes/index
-- A message leaves its lane; where it waits for another attempt, its lane of order need not wait for it any more.
local function leave_waiting(ulid, s)
  if rc('ZREM', K.due, entry_of(ulid, s)) == 1 then
    end_lane(ulid)
  elseif not leave_lanes(ulid, s) then
    rc('HINCRBY', K.meta, 'stale', 1)
  end
  if s.expires > 0 then gather('ZREM', K.expiry, ulid) end
end
