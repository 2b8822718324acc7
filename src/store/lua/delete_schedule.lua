#!lua flags=allow-oom
-- delete_schedule: a schedule of the API is gone; a tick that is under way still comes.
-- include: schedules
--
-- args: name
-- returns: now_ms:number code:number
-- Codes: 0 gone, 1 there is none, 3 it is the configuration's.
--
-- Safe to repeat: the second time there is none.
if rc('HEXISTS', K.held, name) == 1 then return REPLY { now_ms = now_ms, code = 3 } end
if rc('HEXISTS', K.states, name) == 0 then return REPLY { now_ms = now_ms, code = 1 } end
forget(name)
wake_sweepers()
return REPLY { now_ms = now_ms, code = 0 }
