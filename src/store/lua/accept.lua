#!lua flags=allow-oom
-- accept: leased → accepted: a receipt will follow; or delivered or dead at once, where it came before.
-- include: settling late collapse/steps receipt
--
-- args: exchanges delivered_keep_ms:number dead_keep_ms:number
-- args: (ulid token last_attempt reference)...
-- exchanges: tokens of those that end with this call. reference: the downstream's own name for it, or ''.
-- returns: now_ms:number reports verdict:number...
-- Reports as trouble, verdicts as fence.
--
-- Safe to repeat: the token of an accepted message stays, so a repeat answers already.
local reply = REPLY { now_ms = now_ms, reports = '' }
local keep = { delivered = delivered_keep_ms, dead = dead_keep_ms }
local records, states = load(ulids)

local function judge(s, token, i)
  local verdict = fence_success(s, token)
  -- Where another node has it by now, or had, that one's answer counts; the receipt may name this one.
  if verdict == LATE and (s.state == 'L' or s.state == 'A') then verdict = STALE end
  local is_ours = verdict == OK or verdict == LATE or (s and s.previous == token)
  if is_ours then know_reference(ROW[i].reference, ulids[i]) end
  return verdict
end

local accepted = settle(reply, states, judge, function(ulid, s, i)
  leave_place(ulid, s)
  s.token, s.tail = ROW[i].token, ROW[i].last_attempt
  local said, detail = take_early(ulid, ROW[i].reference)
  if said then return close(ulid, s, records[i], said, detail, keep) end
  s.state = 'A'
  state_save(ulid, s)
  tell_change(ulid, 'A')
  gather('ZADD', K.accepted, now_ms, ulid)
  if s.fields ~= '' then collapse.ends(ulid, s) end
end)
end_exchanges(exchanges)
flush()

-- A function of its own, since a script has room for 200 locals.
local function tell_success()
  -- include: gate trouble
  if not gate_remembers() then return end
  downstream_succeeds()
  reply[REPLY.reports] = reports_text()
end
if accepted > 0 then tell_success() end
return reply
