-- include: shard
-- Pages of the messages that stand in lanes, in no order: first those behind the heads, then the heads. So a message that becomes a
-- head meanwhile is met. A cursor is 'r' and the last member as hexadecimal digits, or 'h' and the cursor of a scan; '' is the first
-- page, and the page behind the last one has none.
local function digits_of(member)
  return (string.gsub(member, '.', function(c) return string.format('%02x', string.byte(c)) end))
end

local function member_of_digits(digits)
  return (string.gsub(digits, '%x%x', function(pair) return string.char(tonumber(pair, 16)) end))
end

local function page_of_rest(most, digits)
  local from = digits == '' and '-' or '(' .. member_of_digits(digits)
  local members, ulids = rc('ZRANGE', K.rest, from, '+', 'BYLEX', 'LIMIT', 0, most), {}
  for i, member in ipairs(members) do ulids[i] = string.sub(member, 19) end
  if #members < most then return ulids, 'h0' end
  return ulids, 'r' .. digits_of(members[#members])
end

-- What stands in `open` or `parked`, and not what is on its way.
local function page_of_heads(most, cursor)
  local page, ulids = rc('HSCAN', K.heads, cursor, 'COUNT', most), {}
  for i = 2, #page[2], 2 do
    local state, ulid = struct.unpack('>c1', page[2][i]), string.sub(page[2][i], -26)
    if state == 'o' or state == 'p' then ulids[#ulids + 1] = ulid end
  end
  return ulids, page[1] ~= '0' and 'h' .. page[1] or nil
end

-- So many ULIDs, about; and the next cursor, nil where there is none.
local function page_of_lanes(most, cursor)
  local what, where = string.match(cursor, '^([rh])(%x*)$')
  if what == 'h' then return page_of_heads(most, where) end
  return page_of_rest(most, where or '')
end
