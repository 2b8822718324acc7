#!lua flags=allow-oom
-- pause: the queue's gate shuts for everyone until a moment, or until resume.
-- include: gate events
--
-- args: until_what reason by
-- until_what: 0 (until resume), '+for_ms' or moment_ms. by: who does it.
-- returns: now_ms:number until_ms:number
--
-- Safe to repeat: the pause keeps its beginning.
local until_ms = tonumber(until_what)
if string.byte(until_what) == 43 then until_ms = now_ms + tonumber(string.sub(until_what, 2)) end
local m = rc('HMGET', K.meta, 'pause_since', 'pause_until')
local since_ms = m[1]
if since_ms and tonumber(m[2]) > 0 and tonumber(m[2]) <= now_ms then
  pause_end(since_ms, tonumber(m[2]))
  since_ms = nil
end
rc('HSET', K.meta, 'pause_since', since_ms or now_ms, 'pause_until',
  string.format('%.0f', until_ms), 'pause_reason', reason, 'pause_by', by)
tell_queue('paused')
return REPLY { now_ms = now_ms, until_ms = until_ms }
