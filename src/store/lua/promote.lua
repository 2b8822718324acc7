#!lua flags=allow-oom
-- promote: scheduled → ready. Moves what is due, by range, each into its entry's band.
-- include: shard clock writes record state ready
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us   ARGV[3] most entries to move in this call
-- Returns {0, now_us, moved, next_due_ms or -1, due_ms of the first moved or -1}, or {1, now_us}: the
--         clock is in doubt, and nothing was done
--
-- Safe to repeat: what was moved is no longer in due.
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end
local entries = rc('ZRANGE', K.due, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[3]),
  'WITHSCORES')
local moved = #entries / 2
local first_due = -1
if moved > 0 then
  first_due = tonumber(entries[2])
  local ready_before = ready_length()
  for i = 1, #entries, 2 do
    ready_tail(entries[i], tonumber(string.sub(entries[i], 27, 27)))
  end
  rc('ZREMRANGEBYRANK', K.due, 0, moved - 1)
  flush()
  wake(nil, nil, ready_before, true)
end
return { 0, now_us, moved, due_head() or -1, first_due }
