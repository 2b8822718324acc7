#!lua flags=allow-oom
-- sweep: which schedules are due, and which ticks some node left under way, to be taken over.
-- include: schedules clock
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us   ARGV[3] most schedules to look at
-- ARGV[4] so many that are due are passed over   ARGV[5] ms until what is taken over may be again
-- Returns {0, now_us, the next moment at which there may be work or -1, how many were looked at, how many
--         are due, then for each of these: name, nominal time, version, definition; then for each tick
--         taken over: name, intent}, or {1, now_us}: the clock is in doubt, and nothing was done
--
-- Safe to repeat: a tick that is taken over twice comes once, see fire.
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end
local most = tonumber(ARGV[3])
local names = rc('ZRANGE', K.next, '-inf', now_ms, 'BYSCORE', 'LIMIT', tonumber(ARGV[4]), most,
  'WITHSCORES')
local reply, due = { 0, now_us, -1, #names / 2, 0 }, 0
for i = 1, #names, 2 do
  local name = names[i]
  local definition, state = rc('HGET', K.definitions, name), state_of_schedule(name)
  -- One tick after the other: the next waits until the one under way is there.
  if definition and state and rc('HEXISTS', K.intents, name) == 0 then
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = name, names[i + 1], state.v, definition
    due = due + 1
  end
end
reply[5] = due
for _, name in ipairs(rc('ZRANGE', K.firing, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)) do
  local intent = rc('HGET', K.intents, name)
  if intent then
    reply[#reply + 1], reply[#reply + 2] = name, intent
    rc('ZADD', K.firing, now_ms + tonumber(ARGV[5]), name)
  else
    rc('ZREM', K.firing, name)
  end
end
local function sooner(moment)
  moment = tonumber(moment or -1)
  if moment >= 0 and (reply[3] < 0 or moment < reply[3]) then reply[3] = moment end
end
sooner(rc('ZRANGE', K.next, '(' .. now_ms, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2])
sooner(rc('ZRANGE', K.firing, 0, 0, 'WITHSCORES')[2])
return reply
