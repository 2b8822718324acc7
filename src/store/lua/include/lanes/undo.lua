-- include: lanes/enter
-- What a claim has taken for a message ends with its lease: calls in flight, its lane of order, and, where the call surely did
-- not start, units of quotas by key.
--
--   held     hash, ULID → lane of order 8 (zeros: none), then for each quota and concurrency by key: blocker 9, units u16, and the
--            minute in which the period of the quota ends u32, or 0 of a concurrency
--   flight   hash, blocker → calls in flight
--   used     sorted set, blocker by the minute in which its period ends × 2^27 + units
local PERIOD_UNITS = 2 ^ 27

local function call_ends(blocker)
  if rc('HINCRBY', K.flight, blocker, -1) <= 0 then rc('HDEL', K.flight, blocker) end
  look_at_blocker(blocker)
end

local function units_come_back(blocker, units, end_minute)
  local score = tonumber(rc('ZSCORE', K.used, blocker) or 0)
  if math.floor(score / PERIOD_UNITS) ~= end_minute then return end
  rc('ZADD', K.used, string.format('%.0f', math.max(end_minute * PERIOD_UNITS, score - units)), blocker)
  look_at_blocker(blocker)
end

-- What of the lane of order becomes of a message that has left its lease. s: its state now; nil: it is gone.
local function holder_leaves(lane, ulid, s)
  local h = lane_read(lane)
  if not h or h.state ~= 'b' or h.ulid ~= ulid then return end
  local state = s and s.state
  if not state or FINAL[state] or (state == 'A' and not structure.until_final) then return lane_frees(lane, h) end
  if structure.stall_ms == 0 or state == 'A' or state == 'L' then return end
  -- It waits for a decision, or for another attempt.
  local since_ms = state == 'w' and s.first + RUST.CLAIMED_AHEAD_MS or now_ms
  waits_set(ORDER .. lane, (since_ms + structure.stall_ms) * 1000)
end

-- did_start: whether the call may have started.
local function lease_ends(ulid, held, s, did_start)
  rc('HDEL', K.held, ulid)
  for at = 9, #held, 15 do
    local blocker, units, end_minute = struct.unpack('>c9HI4', held, at)
    if end_minute == 0 then call_ends(blocker)
    elseif not did_start then units_come_back(blocker, units, end_minute) end
  end
  local lane = string.sub(held, 1, 8)
  if lane ~= NONE then holder_leaves(lane, ulid, s) end
end
