#!lua flags=allow-oom
-- spread: what another shard of the queue found out about the downstream that they share.
-- include: shard trouble
--
-- ARGV[1] 'failing' or 'answered'   ARGV[2] attempts that failed in a row   ARGV[3] when the first of them
--         ended, ms   ARGV[4] the last error
-- Returns {now_ms, reports}; reports as trouble
--
-- Safe to repeat: what is known already is neither counted nor logged again.
if ARGV[1] == 'answered' then
  attempt_answered()
elseif rc('HEXISTS', K.meta, 'failing') == 0 then
  rc('HDEL', K.meta, 'failed', 'failed_since')
  attempts_failed(tonumber(ARGV[2]), ARGV[4], ARGV[3])
end
return { now_ms, reports_text() }
