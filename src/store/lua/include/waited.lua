-- include: writes
-- Those who wait for a message to become final.
local waited_any = rc('ZCARD', K.waited) > 0
-- How long a message stays for whoever waits for it where nothing is kept.
local WAITED_KEEP_MS = 60000

-- Tells those who wait for it; whether there are any.
local function announce(ulid)
  if not waited_any or not rc('ZSCORE', K.waited, ulid) then return false end
  gather('ZREM', K.waited, ulid)
  publish('final', ' ' .. ulid)
  return true
end
