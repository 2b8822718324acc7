#!lua flags=allow-oom
-- pause_schedule: a schedule ticks no more until it is resumed; what it misses meanwhile is not missed.
-- include: schedules
--
-- ARGV[1] name   ARGV[2] reason   ARGV[3] by whom
-- Returns {now_ms, code}; codes: 0 paused, 1 there is none
--
-- Safe to repeat: the pause keeps its beginning.
local state = state_of_schedule(ARGV[1])
if not state then return { now_ms, 1 } end
state.p = { since = state.p and state.p.since or now_ms, reason = ARGV[2], by = ARGV[3] }
state_keep(ARGV[1], state)
next_keep(ARGV[1], '')
wake_sweepers()
return { now_ms, 0 }
