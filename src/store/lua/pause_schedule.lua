#!lua flags=allow-oom
-- pause_schedule: a schedule ticks no more until it is resumed; what it misses meanwhile is not missed.
-- include: schedules
--
-- args: name reason by
-- by: who does it.
-- returns: now_ms:number code:number
-- Codes: 0 paused, 1 there is none.
--
-- Safe to repeat: the pause keeps its beginning.
local state = state_of_schedule(name)
if not state then return REPLY { now_ms = now_ms, code = 1 } end
state.p = { since = state.p and state.p.since or now_ms, reason = reason, by = by }
state_keep(name, state)
next_keep(name, '')
wake_sweepers()
return REPLY { now_ms = now_ms, code = 0 }
