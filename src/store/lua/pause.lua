#!lua flags=allow-oom
-- pause: the queue's gate shuts for everyone until a moment, or until resume.
-- include: shard writes events gate
--
-- ARGV[1] until: 0, '+for_ms' or moment_ms   ARGV[2] reason   ARGV[3] by whom
-- Returns {now_ms, until_ms}
--
-- Safe to repeat: the pause keeps its beginning.
local until_ms = tonumber(ARGV[1])
if string.byte(ARGV[1]) == 43 then until_ms = now_ms + tonumber(string.sub(ARGV[1], 2)) end
local m = rc('HMGET', K.meta, 'pause_since', 'pause_until')
local since_ms = m[1]
if since_ms and tonumber(m[2]) > 0 and tonumber(m[2]) <= now_ms then
  pause_end(since_ms, tonumber(m[2]))
  since_ms = nil
end
rc('HSET', K.meta, 'pause_since', since_ms or now_ms, 'pause_until',
  string.format('%.0f', until_ms), 'pause_reason', ARGV[2], 'pause_by', ARGV[3])
tell_queue('paused')
return { now_ms, until_ms }
