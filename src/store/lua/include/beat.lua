-- The keys of what all nodes share, and the moment of this call.
local K = { nodes = KEYS[1], infos = KEYS[2], clock = KEYS[3], schema = KEYS[4] }
local rc = redis.call
local time = rc('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
