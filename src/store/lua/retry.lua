#!lua flags=allow-oom
-- retry: leased → scheduled, unless a receipt was faster. The only verb that writes a due time after the first.
-- include: settling waiting collapse/steps receipt
--
-- args: exchanges signs delivered_keep_ms:number dead_keep_ms:number
-- args: (ulid token delay_ms:number is_throttle:flag last_attempt)...
-- exchanges: tokens of those that end with this call. signs: what the attempts show of the downstream (see trouble). The
-- keep_ms: where a receipt was faster. is_throttle: the attempt is given back and counted as one. last_attempt: '' where
-- it stays as it was.
-- returns: now_ms:number wake:number reports verdict:number...
-- Reports as trouble, verdicts as fence.
--
-- Safe to repeat: the present token with another state answers already.
local reply = REPLY { now_ms = now_ms, wake = 0, reports = '' }
local keep = { delivered = delivered_keep_ms, dead = dead_keep_ms }
local head, ready_before = due_head(), ready_length()
local due_first, ready_added
local tried, lines = {}, {}
local settled = settle(reply, load_states(ulids), fence, function(ulid, s, i)
  if ROW[i].last_attempt ~= '' then s.tail = ROW[i].last_attempt end
  if close_early(ulid, s, keep) then return end
  s.state, s.due = 'w', now_ms + ROW[i].delay_ms
  if ROW[i].is_throttle then
    s.throttles = s.throttles + 1
    attempt_undo(s, true)
  else
    tried[#tried + 1], lines[#lines + 1] = ulid, s.tail
  end
  if s.fields ~= '' and collapse.again(ulid, s, nil, delivered_keep_ms) then return end
  epoch_next(s)
  if enter_waiting(ulid, s) == WAKE_READY then ready_added = true
  elseif not due_first or s.due < due_first then due_first = s.due end
  state_save(ulid, s)
end)

-- A function of its own, since a script has room for 200 locals.
local function conclude()
  -- include: history trouble
  if #tried > 0 then remember(tried, lines) end
  end_exchanges(exchanges)
  flush()
  if settled > 0 then note_attempts(signs) end
  if collapse.superseded > 0 then reports[#reports + 1] = { what = 'superseded', messages = collapse.superseded } end
  reply[REPLY.reports] = reports_text()
end
conclude()
reply[REPLY.wake] = wake(head, due_first, ready_before, ready_added)
return reply
