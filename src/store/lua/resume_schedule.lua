#!lua flags=allow-oom
-- resume_schedule: a paused schedule ticks again, from now on.
-- include: schedules
--
-- args: name version:number first_ms
-- version: of the definition that was read. first_ms: its first tick from now on.
-- returns: now_ms:number code:number
-- Codes: 0 it ticks, 1 there is none, 2 it was changed meanwhile: read again.
--
-- Safe to repeat: one that is not paused keeps its next tick.
local state = state_of_schedule(name)
if not state then return REPLY { now_ms = now_ms, code = 1 } end
if state.v ~= version then return REPLY { now_ms = now_ms, code = 2 } end
if state.p then
  state.p = nil
  next_keep(name, first_ms)
end
state_keep(name, state)
wake_sweepers()
return REPLY { now_ms = now_ms, code = 0 }
