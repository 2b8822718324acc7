#!lua flags=allow-oom
-- promote: scheduled → ready. Moves what is due, by range, each into its entry's band.
-- include: shard writes record state ready
--
-- ARGV[1] most entries to move in this call
-- Returns {now_ms, moved, next_due_ms or -1, due_ms of the first moved or -1}
--
-- Safe to repeat: what was moved is no longer in due.
local entries = rc('ZRANGE', K.due, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[1]),
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
return { now_ms, moved, due_head() or -1, first_due }
