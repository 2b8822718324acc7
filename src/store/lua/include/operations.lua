-- The keys of all operations of a namespace and the moment of this call: what shard.lua is for a shard.
local O = {
  definitions = KEYS[1], progress = KEYS[2], leases = KEYS[3], stops = KEYS[4],
  running = KEYS[5], ended = KEYS[6],
}
local rc = redis.call
local time = rc('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- Until when somebody carries it out, and by which token; 0 and '': nobody does.
local function lease_of(id)
  local text = rc('HGET', O.leases, id)
  if not text then return 0, '' end
  local deadline, token = string.match(text, '^(%d+) (.*)$')
  return tonumber(deadline or 0), token or ''
end

local function lease_keep(id, token, lease_ms)
  rc('HSET', O.leases, id, string.format('%d %s', now_ms + lease_ms, token))
end
