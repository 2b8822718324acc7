#!lua flags=allow-oom
-- sweep: which schedules are due, and which ticks some node left under way, to be taken over.
-- include: schedules clock
--
-- args: earliest_us:number latest_us:number most:number skip:number takeover_ms:number
-- earliest_us, latest_us: this call is expected between them. most: schedules to look at. skip: so
-- many that are due are passed over. takeover_ms: until what is taken over may be again.
-- returns: is_in_doubt:flag now_us:number [next_ms:number looked:number due:list left:list]
-- is_in_doubt: the clock is, and nothing was done. next_ms: when there may be work, or -1. looked: how many were
-- looked at. due: for each name, nominal time, version, definition. left: for each tick that is taken over name, intent.
--
-- Safe to repeat: a tick that is taken over twice comes once, see fire.
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end
local names = rc('ZRANGE', K.next, '-inf', now_ms, 'BYSCORE', 'LIMIT', skip, most,
  'WITHSCORES')
local due, left, next_ms = {}, {}, -1
for i = 1, #names, 2 do
  local name = names[i]
  local definition, state = rc('HGET', K.definitions, name), state_of_schedule(name)
  -- One tick after the other: the next waits until the one under way is there.
  if definition and state and rc('HEXISTS', K.intents, name) == 0 then
    local n = #due
    due[n + 1], due[n + 2], due[n + 3], due[n + 4] = name, names[i + 1], state.v, definition
  end
end
for _, name in ipairs(rc('ZRANGE', K.firing, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)) do
  local intent = rc('HGET', K.intents, name)
  if intent then
    left[#left + 1], left[#left + 2] = name, intent
    rc('ZADD', K.firing, now_ms + takeover_ms, name)
  else
    rc('ZREM', K.firing, name)
  end
end
local function sooner(moment)
  moment = tonumber(moment or -1)
  if moment >= 0 and (next_ms < 0 or moment < next_ms) then next_ms = moment end
end
sooner(rc('ZRANGE', K.next, '(' .. now_ms, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2])
sooner(rc('ZRANGE', K.firing, 0, 0, 'WITHSCORES')[2])
return REPLY {
  is_in_doubt = false, now_us = now_us, next_ms = next_ms, looked = #names / 2, due = due, left = left,
}
