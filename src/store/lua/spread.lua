#!lua flags=allow-oom
-- spread: what another shard of the queue found out about the downstream that they share.
-- include: trouble
--
-- args: what attempts:number? since_ms:number? error
-- what: 'failing' or 'answered'. attempts: that failed in a row; since_ms: when the first of them ended; error: the last
-- one.
-- returns: now_ms:number reports
-- Reports as trouble.
--
-- Safe to repeat: what is known already is neither counted nor logged again.
if what == 'answered' then
  attempt_answered()
elseif rc('HEXISTS', K.meta, 'failing') == 0 then
  rc('HDEL', K.meta, 'failed', 'failed_since')
  attempts_failed(attempts, error, since_ms)
end
return REPLY { now_ms = now_ms, reports = reports_text() }
