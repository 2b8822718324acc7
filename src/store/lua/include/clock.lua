-- Whether Redis' clock stands where the node that calls expects it. After a step it does not, and
-- nothing is done by time before the step has been looked at.
local function clock_in_doubt(now_us, earliest_us, latest_us)
  return now_us < earliest_us or now_us > latest_us
end
