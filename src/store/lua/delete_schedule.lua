#!lua flags=allow-oom
-- delete_schedule: a schedule of the API is gone; a tick that is under way still comes.
-- include: schedules
--
-- ARGV[1] name
-- Returns {now_ms, code}; codes: 0 gone, 1 there is none, 3 it is the configuration's
--
-- Safe to repeat: the second time there is none.
if rc('HEXISTS', K.held, ARGV[1]) == 1 then return { now_ms, 3 } end
if rc('HEXISTS', K.states, ARGV[1]) == 0 then return { now_ms, 1 } end
forget(ARGV[1])
wake_sweepers()
return { now_ms, 0 }
