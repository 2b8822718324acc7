#!lua flags=allow-oom
-- claim: ready → leased. Asks the queue's gates and takes what may start within the horizon.
-- include: clock events ready gate calls
--
-- args: keys_in_force node sequence most:number bytes_max:number lease_ms:number concurrency:number limit_lines
-- args: horizon_us:number before_us:number batch_items:number batch_bytes:number batch_wait_ms:number batch_now:flag
-- args: granted:number? granted_units:number is_pull:flag expired_keep_ms:number lead_us:number earliest_us:number
-- args: latest_us:number hours
-- keys_in_force: the number of the structure that the caller knows, 0 is none, and its limits by key (see lanes/limits).
-- node: 12 bytes. sequence: of this claim at this node, 8 bytes. most: messages. limit_lines: see limits. batch_items: 0 is
-- no batch. before_us: slots only before this moment, or 0. batch_now: do not wait for company. granted: calls that the
-- home slot granted, the first of them with granted_units and the others with one; none: the limits are asked here.
-- is_pull: each reply goes to another worker. lead_us: how long the reply takes; no slot is sooner. earliest_us,
-- latest_us: this call is expected between them; outside of them nothing expires, no pause ends and no exchange is given
-- up. hours: when recipients may be reached, or '' (see claim_hours). What meets a closed one takes nothing and is due at its next opening.
-- returns: code:number now_us:number wait_us:number left:number paused_ms:number cost_wanted:number
-- returns: [ulids:list records:list headers:list slots:list]
-- The gate, as a code; wait_us: until it is worth asking again, or -1; where messages were taken 0, but with granted slots and keys how
-- long they hold what is left. left: how many stay ready. cost_wanted: of a message
-- that costs more than was granted for it, or 0. Lists where messages
-- were taken: headers are those of the state entries (see claimed_header), '' that of a first claim now, none at all are
-- as many of those; slots in us, a single one is that of all.
--
-- Safe to repeat: the shard remembers each node's last claim; the same sequence returns the same set. A
-- repeat writes too, so that a durability wait after it covers the first.
local SCAN_MAX = 1000
local token = node .. sequence
local is_batch, in_doubt = batch_items > 0, clock_in_doubt(now_us, earliest_us, latest_us)

-- A pause that ends with this call ends before anybody asks.
local paused_ms
local function paused()
  paused_ms = paused_ms or paused_total_ms()
  return paused_ms
end

local function answer(code, wait_us, left, cost_wanted)
  return REPLY {
    code = code, now_us = now_us, wait_us = math.ceil(wait_us), left = left, paused_ms = paused(),
    cost_wanted = cost_wanted or 0,
  }
end

local function answer_taken(left, taken)
  local wait_us = 0
  -- keyed: if granted and not taken.is_more then wait_us = math.ceil(taken.keys_wait_us or 0) end
  return REPLY {
    code = RUST.CLAIM_TAKEN, now_us = now_us, wait_us = wait_us, left = left, paused_ms = paused(),
    cost_wanted = taken.cost_wanted or 0,
    ulids = taken.ulids, records = taken.records, headers = taken.headers, slots = taken.slots,
  }
end
-- include: claim_memory claim_gates claim_limits claim_hours claim_walk claim_lease
-- keyed include: lanes/claim

local again = repeated()
local length, lengths = ready_length()
if again and #again.ulids > 0 then
  rc('HSET', K.meta, 'repeated', now_ms)
  return answer_taken(length, again)
end
local code, wait_us = shut()
if code then return answer(code, wait_us, length) end
-- keyed: if length == 0 and is_laned then lanes_claim_idle() end
if length == 0 then return answer(RUST.CLAIM_EMPTY, -1, 0) end
local in_flight = rc('ZCARD', K.leased)
-- keyed: if is_batch and is_laned then lanes_claim().lend_meanwhile() end
local calls, busy_code, busy_us = free_or_gate(length, in_flight)
-- keyed: if not calls and is_batch and is_laned then lanes_claim().save() end
if not calls then return answer(busy_code, busy_us, length) end
local within, limit_us = calls_within_limits(calls)
if not within then
  limits_asked.save()
  -- keyed: if is_laned and lanes_claim().lend_meanwhile() then within, limit_us = nil, 0 end
  -- keyed: if is_laned then lanes_claim().save() end
  return answer(RUST.CLAIM_LIMIT, limit_us, length)
end

local want = math.min(is_batch and batch_items or within, most)
local found = take(want, is_pull or in_flight == 0, lengths)
if #found.lapsed > 0 then met_before().lapse(found.lapsed) end
if #found.put_off > 0 then met_before().put_off(found.put_off) end
if found.stale > 0 then rc('HINCRBY', K.meta, 'stale', -found.stale) end
local taken = #found.ulids
if taken > 0 then
  lease(found)
  calls_count(limits_asked and found.units or is_batch and 1 or taken)
end
if limits_asked then limits_asked.save() end
flush()
length = length - found.walked
if in_doubt then length = length + #found.lapsed + #found.put_off end
if taken > 0 then return answer_taken(length, found) end
if found.limited_us then return answer(RUST.CLAIM_LIMIT, found.limited_us, length) end
if found.cost_wanted then return answer(RUST.CLAIM_STALE, 0, length, found.cost_wanted) end
if found.blocked then return answer(RUST.CLAIM_CONCURRENCY, -1, length) end
-- keyed: if found.keys_wait_us and not found.is_more and #found.lapsed + #found.put_off + found.stale == 0 then return answer(RUST.CLAIM_KEYS, found.keys_wait_us, length) end
if in_doubt and #found.lapsed + #found.put_off > 0 then return answer(RUST.CLAIM_DOUBT, RUST.DOUBT_WAIT_US, length) end
return answer(RUST.CLAIM_STALE, 0, length)
