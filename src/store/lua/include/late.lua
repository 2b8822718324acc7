-- include: waiting uncertain
-- A message that is not final leaves the place in which it waits for what comes next. It may be anywhere by the time
-- at which a late success or a receipt comes.
local function leave_place(ulid, s)
  if s.state == 'w' then leave_waiting(ulid, s) end
  if s.state == 'U' then leave_uncertain(ulid) end
  if s.state == 'A' then gather('ZREM', K.accepted, ulid) end
end
