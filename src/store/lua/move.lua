#!lua flags=allow-oom
-- move: scheduled, ready, dead, expired or cancelled → cancelled, on its way into another queue.
-- include: shard writes events record packed state finals ready wake waiting weight waited
--
-- ARGV[1] what: begin, find (only those begun before) or end
-- begin, find: ARGV[2] cut-off: finals only since this moment or longer, ms   ARGV[3] the state meant: w, X,
--         E or C   ARGV[4...] per message: ulid, its new id, its tail from now on, which names the new id
-- end:    ARGV[2] retention_ms, ARGV[3] '', ARGV[4...] ulids
-- Returns for begin and find, per message, flat: code, state before, due_ms, expires_ms, record or '';
--         codes: 0 begun, 1 was begun before, 2 was ended before, 3 no such message, 5 wrong state. For end
--         {how many}
--
-- A message that is on its way is cancelled for everybody, so that nothing sends it from here; it keeps its
-- body, and no retention or purge takes it, until the other queue has it. Whoever goes on with an operation
-- after a lost node finds it here. At the end its body goes and its retention begins.
--
-- Safe to repeat: a message knows its new id, so that begin tells what was begun before.
local FAR_MS = 10 * 366 * 86400000
local what = ARGV[1]

local function is_there(s)
  return s.state == ARGV[3] and (s.state == 'w' or (s.final <= tonumber(ARGV[2]) and not is_moved(s)))
end

local function lift(ulid, s, tail)
  if s.state == 'w' then
    leave_waiting(ulid, s)
    announce(ulid)
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
  local ulids, reply, far = {}, {}, {}
  for i = 4, #ARGV, 3 do ulids[#ulids + 1] = ARGV[i] end
  local records, states = load(ulids)
  for i, ulid in ipairs(ulids) do
    local s, record = states[i], records[i]
    local new_id, tail = ARGV[3 * i + 2], ARGV[3 * i + 3]
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
    local n, is_ours, goes = #reply, code <= 2, code < 2
    reply[n + 1], reply[n + 2] = code, before
    reply[n + 3], reply[n + 4] = is_ours and s.due or 0, is_ours and s.expires or 0
    reply[n + 5] = goes and record or ''
  end
  flush()
  write_all('ZADD', K.cancelled, far)
  return reply
end

local function finish_moves()
  local ulids, count = {}, 0
  for i = 4, #ARGV do ulids[#ulids + 1] = ARGV[i] end
  local records, states = load(ulids)
  for i, ulid in ipairs(ulids) do
    local s = states[i]
    if s and s.state == 'C' and is_moving(s, records[i]) then
      local slim = record_without_body(records[i])
      if is_weighed(s) then weight_changes_by('C', #slim - #records[i]) end
      gather('HSET', K.records, ulid, slim)
      gather('ZADD', K.cancelled, now_ms + tonumber(ARGV[2]), ulid)
      count = count + 1
    end
  end
  flush()
  return { count }
end

if what == 'end' then return finish_moves() end
return begin()
