-- include: events fence
-- The loop of every verb that ends an attempt. The script has `ulids`, and `token_of(i)`: the token that the call
-- shows for the i-th of them.
--
-- `judge(s, token, i)` is the fence; whoever passes it leaves its lease, and `go_on(ulid, s, i)` says where to. The
-- verdicts go into the reply, in the order of the messages. Backwards: where each comes to stand before the one
-- before it. Returns how many have passed; nothing is written yet (see flush).
local function settle(reply, states, judge, go_on, is_backwards)
  local settled = 0
  for n = 1, #ulids do
    local i = is_backwards and #ulids + 1 - n or n
    local ulid, s = ulids[i], states[i]
    local verdict = judge(s, token_of(i), i)
    if verdict == OK or verdict == LATE then
      leave_lease(ulid)
      go_on(ulid, s, i)
      settled = settled + 1
    end
    reply[REPLY.verdict - 1 + i] = verdict
  end
  return settled
end
