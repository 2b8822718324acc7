#!lua flags=allow-oom
-- operation_stop: an operation is asked to stop; the run that carries it out reads so when it next saves.
-- include: operations
--
-- ARGV[1] id   ARGV[2] who asks
-- Returns {0, or 1: it does not run}
--
-- Safe to repeat: the first who asked stays.
if not rc('ZSCORE', O.running, ARGV[1]) then return { 1 } end
rc('HSETNX', O.stops, ARGV[1], ARGV[2])
return { 0 }
