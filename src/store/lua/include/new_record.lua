-- include: record
-- How new records begin. The script has `version`, which nodes write records as (see store/wire/format.rs); one with optional
-- fields is of the newest version in any case.
--
-- By priority and band as two digits; then, where final states have a callback, which, as a capital letter; and 'o' where
-- optional fields follow the header, or 'k' where a collapse key is among them. What comes first is alike for many messages of a call, so that it is put together
-- once.
local RECORD_OF_RANK = setmetatable({}, { __index = function(known, ranks)
  local rank = tonumber(string.sub(ranks, 1, 1)) + 16 * tonumber(string.sub(ranks, 2, 2))
  local told, last = string.match(ranks, '%u'), string.byte(ranks, -1)
  local has_fields, has_collapse_key = last == 111 or last == 107, last == 107
  local flags = (told and 16 * (string.byte(told) - 64) or 0) + (has_fields and 4 or 0) + (has_collapse_key and 8 or 0)
  known[ranks] = string.char(has_fields and RECORD_VERSION or version, flags, rank)
  return known[ranks]
end })
