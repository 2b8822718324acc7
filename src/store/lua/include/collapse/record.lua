-- include: record
-- The collapse key in a record: the optional field of bit 4 (see store/record/optional.rs), where the header has flag 8.
--
--   hash of the key 16 | flags u8 | superseded u32 | when its payload was accepted, ms u48
-- Flag 1: it is due by the `collapse.wait` of its queue, for as long as its state has the due time of its record.
-- superseded: how many payloads the present one has taken the place of. Only the hash stands in a state entry, as its first
-- optional field.
local COLLAPSE_BYTES = RUST.COLLAPSE_BYTES
local COLLAPSE_HASH_BYTES = RUST.COLLAPSE_HASH_BYTES

-- Where the field begins; nil: the record has none.
local function collapse_at(raw)
  if string.byte(raw, 2) % 16 < 8 then return nil end
  local at = RECORD_HEADER_BYTES + 1
  local presence = string.byte(raw, at)
  at = at + 3
  if presence % 2 == 1 then at = at + 2 end
  if math.floor(presence / 2) % 2 == 1 then at = at + 1 + 10 * string.byte(raw, at) end
  return at
end

-- The optional fields that the state entry of such a message begins with.
local function collapse_fields(raw)
  local at = collapse_at(raw)
  return struct.pack('>BH', 1, COLLAPSE_HASH_BYTES) .. string.sub(raw, at, at + COLLAPSE_HASH_BYTES - 1)
end
