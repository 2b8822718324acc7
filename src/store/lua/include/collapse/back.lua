-- include: state
-- A message with a collapse key is given back. Where a newer one of its key waits for it, it is cancelled; whether it was.
-- `superseded`: how many were.
local superseded = 0
local function makes_way(ulid, s, keep_ms)
  if s.fields == '' then return false end
  -- include: collapse/index
  local is_cancelled = collapse_again(ulid, s, nil, keep_ms)
  if is_cancelled then superseded = superseded + 1 end
  return is_cancelled
end
