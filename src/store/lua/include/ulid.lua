local BASE32 = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

-- The first ten characters of a ULID.
local function ulid_of_moment(ms)
  local digits = {}
  for i = 10, 1, -1 do
    local digit = ms % 32
    digits[i] = string.sub(BASE32, digit + 1, digit + 1)
    ms = (ms - digit) / 32
  end
  return table.concat(digits)
end
