-- include: lanes/index
-- A message that has ended holds its lane of order up no longer.
local finish_alone = finish
local function finish(ulid, s, record, keep_ms)
  end_lane(ulid, record)
  finish_alone(ulid, s, record, keep_ms)
end
