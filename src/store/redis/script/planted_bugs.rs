//! Bugs that tests plant in scripts, to see that the proof finds them. Compiled for tests only.
//!
//! Owns what each of them changes in a script; the few that are planted in Rust stand where they bite,
//! as `planted!`. Armed like a failpoint, by its name: `FAILPOINTS='finish-unfenced=return'`.

use crate::failpoint::planted;

/// Bug, what a script says, what it says instead.
const IN_SCRIPTS: &[(&str, &str, &str)] = &[
    ("finish-unfenced", "  if s.token ~= token then return STALE end\n", ""),
    // The messages leave the ready list in one call, and the second (a renewal) leases them.
    ("claim-in-two-calls", "  write_all('ZADD', K.leased, deadlines)\n", ""),
    ("claim-in-two-calls", "rc('ZADD', K.leased, 'XX', 'GT', ", "rc('ZADD', K.leased, "),
    // A claim asks all limits and writes what it took of the rates only.
    (
        "quota-not-kept",
        "    if limit.is_changed then\n",
        "    if limit.is_changed and limit.is_rate then\n",
    ),
    (
        "rate-not-advanced",
        "(limit.arrival_us, slot_us) + units * limit.period_us",
        "(limit.arrival_us, slot_us)",
    ),
    (
        "cost-not-owed",
        "(limit.arrival_us, slot_us) + units * limit.period_us",
        "(limit.arrival_us, slot_us) + limit.period_us",
    ),
    (
        "given-back-twice",
        "limit.used[at] = math.max(0, limit.used[at] - units)",
        "limit.used[at] = math.max(0, limit.used[at] - 2 * units)",
    ),
    // An account of several queues gives units, and does not keep that it did.
    (
        "reservation-not-kept",
        "elseif not asks then\n  limits_save(limits, node)\n",
        "elseif not asks then\n",
    ),
    // Lanes of order, and limits by key.
    (
        "lane-not-busy",
        "  if h.is_ordered then\n    open_remove(lane, h, more)\n",
        "  if false then\n    open_remove(lane, h, more)\n",
    ),
    (
        "lane-newest-first",
        "  local member = with_prefix(K.rest, lane, 1)[1]\n",
        "  local members = with_prefix(K.rest, lane, 1000)\n  local member = members[#members]\n",
    ),
    (
        "lane-without-places",
        "  if stands and is_before(seat.place, h.place) then",
        "  if false then",
    ),
    (
        "lane-freed-by-retry",
        "  if not state or FINAL[state] or (state == 'A' and not structure.until_final) then",
        "  if true then",
    ),
    (
        "call-of-key-not-counted",
        "  for blocker in pairs(changed.concurrency) do rc('HSET', K.flight, blocker, known.concurrency[blocker]) end\n",
        "",
    ),
    ("quota-of-key-not-counted", "state = state + cost\n", "state = state\n"),
    ("rate-of-key-not-advanced", ") + cost * terms_of(limit, blocker).period_us\n", ")\n"),
    // Collapse keys: the newer message does not wait for the one that is being sent.
    (
        "collapse-not-held",
        "    local due_ms = collapse_take(ulid, record, nil, true)\n",
        "    local due_ms = collapse_take(ulid, record, nil, false)\n",
    ),
    // A payload is accepted in the place of another one, and is not kept.
    (
        "collapse-not-kept",
        "  gather('HSET', K.records, ulid, record)\n  if is_touched",
        "  if is_touched",
    ),
    // It takes the place of one that has been sent, under the id that the downstream knows.
    (
        "collapse-after-begin",
        "  if s and s.state == 'w' and not collapse_has_begun(s) then\n",
        "  if s and s.state == 'w' then\n",
    ),
    // The older one is sent again beside the newer.
    (
        "collapse-again",
        "  if first == ulid and not newer then return false end\n",
        "  if first == ulid then return false end\n",
    ),
];

/// The text of a script, with what is planted in it.
pub(in crate::store) fn spoil(mut text: String) -> String {
    for (bug, line, instead) in IN_SCRIPTS {
        if planted!(bug) {
            text = text.replace(line, instead);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::script::{ScriptForm, Verb};

    #[test]
    fn every_planted_bug_finds_its_line_in_a_script() {
        for (bug, line, _) in IN_SCRIPTS {
            let has_it = |verb: &&Verb| verb.text(ScriptForm::KeyedCollapsing).contains(line);
            assert!(Verb::ALL.iter().any(|verb| has_it(&verb)), "{bug}: {line}");
        }
    }
}
