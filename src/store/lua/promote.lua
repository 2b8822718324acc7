#!lua flags=allow-oom
-- promote: scheduled → ready. Moves what is due, by range, each into its entry's band.
-- include: shard clock writes events ready wake
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us   ARGV[3] most entries to move in this call
-- Returns {0, now_us, moved, next_due_ms or -1, due_ms of the first moved or -1}, or {1, now_us}: the
--         clock is in doubt, and nothing was done
--
-- Safe to repeat: what was moved is no longer in due.
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end
local first_due = due_head() or -1
local entries = rc('ZRANGE', K.due, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[3]))
local moved = #entries
if moved == 0 then return { 0, now_us, 0, first_due, -1 } end
local ready_before = ready_length()
ready_tail_all(entries)
rc('ZREMRANGEBYRANK', K.due, 0, moved - 1)
tell_changes(entries, 'r')
flush()
wake(nil, nil, ready_before, true)
return { 0, now_us, moved, due_head() or -1, first_due }
