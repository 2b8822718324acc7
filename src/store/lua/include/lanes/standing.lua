-- include: lanes/index
-- Whether a message of the backlog is missing where the backlog is counted (see lanes/backlog).
local BACKLOG = RUST.FAULT_BACKLOG
local function is_not_counted(ulid, s)
  return structure.counts and (s.state == 'w' or s.state == 'L') and rc('EXISTS', K.backlog_at) == 0
    and rc('HEXISTS', K.backlog, ulid) == 0
end

-- Whether a waiting message stands in its lane, by the structure in force or, while messages move over to it, by the one before.
local function stands_in_lane(ulid, s)
  -- include: lanes/keys lanes/heads
  local record = rc('HGET', K.records, ulid)
  if not record then return false end
  local keys = keys_of(record)
  local function stands_by(of)
    if not of then return false end
    local lane = lane_of(of, s, keys)
    local h = lane_read(lane)
    if not h then return false end
    if h.ulid == ulid then return h.state == 'o' or h.state == 'p' end
    return rc('ZSCORE', K.rest, lane .. place_of(record, s) .. ulid) ~= false
  end
  return (is_laned and stands_by(structure)) or stands_by(structure_before)
end
