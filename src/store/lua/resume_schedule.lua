#!lua flags=allow-oom
-- resume_schedule: a paused schedule ticks again, from now on.
-- include: schedules
--
-- ARGV[1] name   ARGV[2] version of the definition that was read   ARGV[3] its first tick from now on, ms
-- Returns {now_ms, code}; codes: 0 it ticks, 1 there is none, 2 it was changed meanwhile: read again
--
-- Safe to repeat: one that is not paused keeps its next tick.
local state = state_of_schedule(ARGV[1])
if not state then return { now_ms, 1 } end
if state.v ~= tonumber(ARGV[2]) then return { now_ms, 2 } end
if state.p then
  state.p = nil
  next_keep(ARGV[1], ARGV[3])
end
state_keep(ARGV[1], state)
wake_sweepers()
return { now_ms, 0 }
