-- include: rows exchanges
-- What a verb that ends attempts begins with, where each row of the call shows its token.
local function token_of(i) return ROW[i].token end
-- include: settle
