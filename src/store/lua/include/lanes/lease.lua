-- include: lanes/index
-- What a claim has taken for a message ends when the message leaves its lease.
local leave_lease_alone = leave_lease
local function leave_lease(ulid)
  leave_lease_alone(ulid)
  leased_until_now[#leased_until_now + 1] = ulid
end
