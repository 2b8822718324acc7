-- include: finish
-- Receipts: accepted messages, the references under which the downstream knows them, and receipts that
-- overtook our own bookkeeping.
--
--   refs   '<reference>' → ulid
--   early  '=<ulid>' or '#<reference>' → 'D' or 'X' (what the receipt says) and its detail, as JSON
--   looks  'r<reference>' or 'e<field of early>' by when it is looked at again: a reference goes with its
--          message, a kept receipt when its time is over
local EARLY_MAX, LOOK_MS = 10000, 86400000
local early_any = rc('HLEN', K.early) > 0

-- The last words, with the receipt's in them. The one place where a script reads them.
local function tail_with(tail, by, detail)
  local ok, words = pcall(cjson.decode, tail)
  if not ok or type(words) ~= 'table' then words = {} end
  words.y = by
  if detail ~= '' then words.r = cjson.decode('[' .. detail .. ']')[1] end
  return cjson.encode(words)
end

-- What a kept receipt says of a message, and its detail; nil: there is none. It is used up with this.
local function take_early(ulid, reference)
  if not early_any then return nil end
  local fields = { '=' .. ulid }
  if reference ~= '' then fields[2] = '#' .. reference end
  for _, field in ipairs(fields) do
    local kept = rc('HGET', K.early, field)
    if kept then
      gather('HDEL', K.early, field)
      gather('ZREM', K.looks, 'e' .. field)
      return string.sub(kept, 1, 1), string.sub(kept, 2)
    end
  end
  return nil
end

-- Keeps a receipt until its message is accepted. 2: kept; 5: another one says otherwise; 7: too many.
local function keep_early(field, said, detail, kept_ms)
  local kept = rc('HGET', K.early, field)
  rc('HSET', K.meta, 'received', now_ms)
  if kept then return string.sub(kept, 1, 1) == said and 2 or 5 end
  if rc('HLEN', K.early) >= EARLY_MAX then return 7 end
  rc('HSET', K.early, field, said .. detail)
  rc('ZADD', K.looks, now_ms + kept_ms, 'e' .. field)
  return 2
end

local function know_reference(reference, ulid)
  if reference == '' then return end
  gather('HSET', K.refs, reference, ulid)
  gather('ZADD', K.looks, now_ms + LOOK_MS, 'r' .. reference)
end

-- A receipt ends the message, which has left its place.
local function close(ulid, s, record, said, detail, keep)
  s.tail = tail_with(s.tail, 'receipt', detail)
  s.state = said
  finish(ulid, s, record, said == 'D' and keep.delivered or keep.dead)
end

-- The same for a message whose attempt ends now, where a receipt was faster than we are; whether one was.
local function close_early(ulid, s, keep)
  local said, detail = take_early(ulid, '')
  if not said then return false end
  close(ulid, s, rc('HGET', K.records, ulid), said, detail, keep)
  return true
end
