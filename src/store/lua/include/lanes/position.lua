-- include: lanes/index
-- How many messages stand before one in its lane, the one that is on its way included; nil where it is in no lane. Also the ULID of the
-- message that has the turn in its level, where that is one of another flow, else '', and the lane.
local function position_in_lane(ulid, s)
  -- include: lanes/turns lanes/undo
  local record = rc('HGET', K.records, ulid)
  if not record or not record_is_readable(record) then return nil end
  local seat = seat_of(record, s)
  local h = lane_read(seat.lane)
  if not h then return nil end
  local ahead = 0
  if h.ulid ~= ulid then
    ahead = rc('ZLEXCOUNT', K.rest, '[' .. seat.lane, '(' .. seat.lane .. place_of(record, s) .. ulid)
    if h.state ~= 'f' then ahead = ahead + 1 end
  end
  local first = structure.fair_by and first_of(seat.level)
  if not first or not first.flow or first.flow == seat.flow then return ahead, '', seat.lane end
  local member = with_prefix(K.open, string.char(seat.level) .. first.flow, 1)[1]
  local of_turn = member and lane_read(string.sub(member, 20))
  return ahead, of_turn and of_turn.ulid or '', seat.lane
end
