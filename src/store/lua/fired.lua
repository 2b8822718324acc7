#!lua flags=allow-oom
-- fired: the message of the tick under way is in its queue; the next tick may come.
-- include: schedules
--
-- args: name ulid id
-- ulid: of the message. id: the whole of it.
-- returns: now_ms:number is_done:flag
-- is_done: it was under way until now.
--
-- Safe to repeat: what is no longer under way is left alone.
local intent = rc('HGET', K.intents, name)
local tick = intent and decoded(string.match(intent, '^[^\n]*'))
if not tick or tick.u ~= ulid then return REPLY { now_ms = now_ms, is_done = false } end
rc('HDEL', K.intents, name)
rc('ZREM', K.firing, name)
local state = state_of_schedule(name)
if state then
  state.n, state.f, state.i, state.c = tick.n, now_ms, id, state.c + 1
  state_keep(name, state)
end
return REPLY { now_ms = now_ms, is_done = true }
