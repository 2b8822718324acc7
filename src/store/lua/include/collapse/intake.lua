-- include: collapse/arrive
-- Takes in the messages of a call of schedule, where all of them have a collapse key, each for itself and in their order: two of
-- the same key collapse too.
--
-- In claims, NODE*: its last such call, and of each message that was not simply accepted: number u8 | code c1 | ULID c26 | due
-- u48. A repeat of the call answers by it.
local REMEMBERED = '>Bc1c26I6'
local REMEMBERED_BYTES = 34
local keep_ms = tonumber(string.sub(call, 17)) or 0
local remembers = string.sub(caller, 1, 12) .. '*'
local head_before, length_before = due_head(), ready_length()
local known, kept = {}, {}

if ran_before then
  local said = rc('HGET', K.claims, remembers)
  if said and string.sub(said, 1, #call) == call then
    for at = #call + 1, #said - REMEMBERED_BYTES + 1, REMEMBERED_BYTES do
      local number, code, ulid, due_ms = struct.unpack(REMEMBERED, said, at)
      known[number] = { code = tonumber(code), ulid = ulid, due_ms = due_ms }
    end
  end
end

local function take_one(number, ulid, record, key, fingerprint)
  arrived.default_ttl_ms = default_ttl_ms
  local code, became, due_ms = collapse_arrive(ulid, record, keep_ms, is_limited and has_room)
  if code then
    tell(number, code, became, due_ms)
    kept[#kept + 1] = struct.pack(REMEMBERED, number, tostring(code), became, due_ms)
  end
  if not key or (code and code >= RUST.BACKLOG_FULL) then return end
  seen[key] = { became, fingerprint, due_ms }
  flush()
  rc('HSET', K.idem_new, key, became .. fingerprint)
end

for number = 0, count - 1 do
  local at = ROWS_FROM + number * width
  local ulid, was = ARGV[at], known[number]
  understand(ARGV[at + 1])
  local extras = width == 4 and ARGV[at + 3] or ''
  if was then
    tell(number, was.code, was.ulid, was.due_ms)
  else
    local is_known_key, key, fingerprint = false, nil, nil
    if extras ~= '' then is_known_key, key, fingerprint = is_known(number, ulid, extras) end
    if not is_known_key then
      if ran_before then tell(number, 0, ulid, due) else take_one(number, ulid, start .. ARGV[at + 2], key, fingerprint) end
    end
  end
end
if #kept > 0 then rc('HSET', K.claims, remembers, call .. table.concat(kept)) end
flush()
reply[REPLY.wake] = wake(head_before, arrived.due_first, length_before, arrived.ready_added)
return reply
