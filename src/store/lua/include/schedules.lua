-- The keys of all schedules of a namespace and the moment of this call: what shard.lua is for a shard.
--
-- TIME is read once, here. A state is JSON, short names: v version of the definition, k cadence, p pause
-- (since, reason, by), n f i the last tick (nominal time, when it fired, id), c fired, m missed.
local K = {
  names = KEYS[1], next = KEYS[2], definitions = KEYS[3], states = KEYS[4],
  firing = KEYS[5], intents = KEYS[6], held = KEYS[7],
}
local rc = redis.call
local time = rc('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)

-- A table that JSON of ours holds, or nil: what somebody else wrote must not end the call.
local function decoded(text)
  local is_json, value = pcall(cjson.decode, text or '')
  return is_json and type(value) == 'table' and value or nil
end

-- The state of a schedule, or nil.
local function state_of_schedule(name)
  local state = decoded(rc('HGET', K.states, name))
  return state and tonumber(state.v) and state or nil
end

local function state_keep(name, state)
  rc('HSET', K.states, name, cjson.encode(state))
end

-- When it ticks next; '' for never.
local function next_keep(name, next_ms)
  if next_ms == '' then return rc('ZREM', K.next, name) end
  return rc('ZADD', K.next, next_ms, name)
end

-- Nothing of it is left, but for a tick that is under way: that one was due before.
local function forget(name)
  rc('ZREM', K.names, name)
  rc('ZREM', K.next, name)
  rc('HDEL', K.definitions, name)
  rc('HDEL', K.states, name)
  rc('HDEL', K.held, name)
end

-- Every node looks at once when it is to wake next.
local function wake_sweepers()
  local tag = string.match(K.names, '{(.-)}')
  rc('PUBLISH', string.match(tag, '^(.-):') .. ':wake', tag .. ' 1')
end
