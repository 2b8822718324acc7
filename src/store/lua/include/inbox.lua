-- The key of one stream of the inbox; streams are the producers' and carry no hash tag.
local K = { stream = KEYS[1] }
local rc = redis.call
