-- The list of operators' actions of a namespace.
local A = {
  list = KEYS[1], outcomes = KEYS[2],
}
local rc = redis.call
