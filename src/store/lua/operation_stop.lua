#!lua flags=allow-oom
-- operation_stop: an operation is asked to stop; the run that carries it out reads so when it next saves.
-- include: operations
--
-- args: id by
-- by: who asks.
-- returns: is_over:flag
-- is_over: it does not run.
--
-- Safe to repeat: the first who asked stays.
if not rc('ZSCORE', O.running, id) then return REPLY { is_over = true } end
rc('HSETNX', O.stops, id, by)
return REPLY { is_over = false }
