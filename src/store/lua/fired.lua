#!lua flags=allow-oom
-- fired: the message of the tick under way is in its queue; the next tick may come.
-- include: schedules
--
-- ARGV[1] name   ARGV[2] ulid of the message   ARGV[3] its whole id
-- Returns {now_ms, 1 if it was under way else 0}
--
-- Safe to repeat: what is no longer under way is left alone.
local name = ARGV[1]
local intent = rc('HGET', K.intents, name)
local tick = intent and decoded(string.match(intent, '^[^\n]*'))
if not tick or tick.u ~= ARGV[2] then return { now_ms, 0 } end
rc('HDEL', K.intents, name)
rc('ZREM', K.firing, name)
local state = state_of_schedule(name)
if state then
  state.n, state.f, state.i, state.c = tick.n, now_ms, ARGV[3], state.c + 1
  state_keep(name, state)
end
return { now_ms, 1 }
