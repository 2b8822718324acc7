-- The one key of a script that is told which.
local K = { key = KEYS[1] }
local rc = redis.call
