-- include: shard
-- A page of a zset by (score, member): stable while others come and go.

-- A score as cursors carry it. Ours are whole moments; of another one, which somebody else wrote, the next.
local function score_text(score)
  if string.match(score, '^%d+$') then return score end
  return string.format('%.0f', math.max(0, math.min(math.ceil(tonumber(score)), 1e18)))
end

-- A member as cursors carry it, as far as members are compared: ours as they are. Of another one, which somebody else
-- wrote, the bytes as hexadecimal digits, since a cursor is text.
local function member_text(member)
  local compared = string.sub(member, 1, 26)
  if string.match(compared, '^%w+$') then return compared end
  return '=' .. (string.gsub(compared, '.', function(c) return string.format('%02x', string.byte(c)) end))
end

local function member_of(text)
  if string.sub(text, 1, 1) ~= '=' then return string.sub(text, 1, 26) end
  return (string.gsub(string.sub(text, 2), '%x%x', function(digits) return string.char(tonumber(digits, 16)) end))
end

-- Members with their scores, flat, and where the next page begins, '' after the last.
local function page_of_zset(key, most, cursor)
  local from = 0
  if cursor ~= '' then
    local score, text = string.match(cursor, '^(%d+):(.*)$')
    local member = member_of(text)
    -- The member may be gone: halve the run of its score until its place is found.
    local to = rc('ZCOUNT', key, '-inf', score)
    from = rc('ZCOUNT', key, '-inf', '(' .. score)
    while from < to do
      local middle = math.floor((from + to) / 2)
      local there = rc('ZRANGE', key, middle, middle)[1]
      if string.sub(there, 1, 26) <= member then from = middle + 1 else to = middle end
    end
  end
  local found = rc('ZRANGE', key, from, from + most - 1, 'WITHSCORES')
  local next_cursor = ''
  if #found == most * 2 then next_cursor = score_text(found[#found]) .. ':' .. member_text(found[#found - 1]) end
  return found, next_cursor
end
