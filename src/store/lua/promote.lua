#!lua flags=allow-oom
-- promote: scheduled → ready. Moves what is due, by range, each into its entry's band.
-- include: clock events ready wake
--
-- args: earliest_us:number latest_us:number most:number
-- earliest_us, latest_us: this call is expected between them.
-- returns: is_in_doubt:flag now_us:number [moved:number next_due_ms:number first_due_ms:number]
-- is_in_doubt: the clock is, and nothing was done. next_due_ms: -1 where nothing is due
-- later. first_due_ms: of the first that was moved, or -1.
--
-- Safe to repeat: what was moved is no longer in due.
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end
local first_due_ms = due_head() or -1
local entries = rc('ZRANGE', K.due, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)
local moved = #entries
if moved == 0 then
  return REPLY { is_in_doubt = false, now_us = now_us, moved = 0, next_due_ms = first_due_ms, first_due_ms = -1 }
end
local ready_before = ready_length()
ready_tail_all(entries)
rc('ZREMRANGEBYRANK', K.due, 0, moved - 1)
tell_changes(entries, 'r')
flush()
wake(nil, nil, ready_before, true)
return REPLY {
  is_in_doubt = false, now_us = now_us, moved = moved, next_due_ms = due_head() or -1, first_due_ms = first_due_ms,
}
