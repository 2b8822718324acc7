#!lua flags=allow-oom
-- move: scheduled, ready, dead, expired or cancelled → cancelled, on its way into another queue.
-- include: rows waiting finals weight waited collapse/steps
--
-- args: what cutoff_ms:number? wanted keep_ms:number? (ulid new_id tail)...
-- what: begin, find (only those begun before) or end. Of begin and find, cutoff_ms: finals only since this moment or
-- longer; wanted: the state meant, w, X, E or C; tail: its tail from now on, which names the new id. Of end only ulids
-- and keep_ms matter.
-- returns: ended:number (code:number before due_ms:number expires_ms:number record)...
-- ended: how many, at the end. Of begin and find one row for each message; before: its state until now; record: '' where
-- none goes over; codes: 0 begun, 1 was begun before, 2 was ended before, 3 no such message, 5 wrong state.
--
-- A message that is on its way is cancelled for everybody, so that nothing sends it from here; it keeps its
-- body, and no retention or purge takes it, until the other queue has it. Whoever goes on with an operation
-- after a lost node finds it here. At the end its body goes and its retention begins.
--
-- Safe to repeat: a message knows its new id, so that begin tells what was begun before.
local FAR_MS = 10 * 366 * 86400000

local function is_there(s)
  return s.state == wanted and (s.state == 'w' or (s.final <= cutoff_ms and not is_moved(s)))
end

local function lift(ulid, s, tail)
  if s.state == 'w' then
    leave_waiting(ulid, s)
    announce(ulid)
    if s.fields ~= '' then collapse.ends(ulid, s) end
  else
    weigh_out(ulid, s)
    gather('ZREM', FINAL_KEY[s.state], ulid)
    if s.expires > 0 and s.expires <= now_ms then s.expires = 0 end
  end
  s.state, s.flags, s.final, s.tail = 'C', MOVED, now_ms, tail
  tell_change(ulid, 'C')
  weigh_in(ulid, s)
  state_save(ulid, s)
end

local function begin()
  local reply, far = REPLY { ended = 0 }, {}
  local records, states = load(ulids)
  for i, ulid in ipairs(ulids) do
    local s, record = states[i], records[i]
    local new_id, tail = ROW[i].new_id, ROW[i].tail
    local code, before = 0, s and s.state or ''
    if not s then code = 3
    elseif s.state == 'C' and is_moved(s) and string.find(s.tail, new_id, 1, true) then
      code = is_moving(s, record) and 1 or 2
      -- Written again, so that a durability wait covers the first time.
      state_save(ulid, s)
    elseif what == 'find' or not is_there(s) then
      code, before = 5, state_told(ulid, s)
    else
      lift(ulid, s, tail)
      far[#far + 1], far[#far + 2] = now_ms + FAR_MS, ulid
    end
    local is_ours, goes = code <= 2, code < 2
    REPLY_ROW {
      code = code,
      before = before,
      due_ms = is_ours and s.due or 0,
      expires_ms = is_ours and s.expires or 0,
      record = goes and record or '',
    }
  end
  flush()
  write_all('ZADD', K.cancelled, far)
  return reply
end

local function finish_moves()
  local count = 0
  local records, states = load(ulids)
  for i, ulid in ipairs(ulids) do
    local s = states[i]
    if s and s.state == 'C' and is_moving(s, records[i]) then
      local slim = record_without_body(records[i])
      if is_weighed(s) then weight_changes_by('C', #slim - #records[i]) end
      gather('HSET', K.records, ulid, slim)
      gather('ZADD', K.cancelled, now_ms + keep_ms, ulid)
      count = count + 1
    end
  end
  flush()
  return REPLY { ended = count }
end

if what == 'end' then return finish_moves() end
return begin()
