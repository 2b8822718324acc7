-- include: state
-- Whether a step may touch a message: each claim has a token, later steps must show it.
--
-- The present token with any state but leased means that this very step was done before (a lost
-- reply, repeated). Any other token is a late actor, and harmless.
local OK, ALREADY, STALE = RUST.VERDICT_OK, RUST.VERDICT_ALREADY, RUST.VERDICT_STALE
local GONE, LATE = RUST.VERDICT_GONE, RUST.VERDICT_LATE

local function fence(s, token)
  if not s then return GONE end
  if s.token ~= token then return STALE end
  if s.state == 'L' then return OK end
  return ALREADY
end

-- A late success is still a success: it may end a message that is not final.
local function fence_success(s, token)
  local verdict = fence(s, token)
  if verdict == STALE and s.previous == token and not FINAL[s.state] then return LATE end
  return verdict
end

-- The message leaves its lease.
local function leave_lease(ulid)
  gather('ZREM', K.leased, ulid)
end
-- keyed include: lanes/lease
