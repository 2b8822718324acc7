//! The limit stands twice: in Lua, where slots are granted, and in the domain, where they are explained.
//!
//! Owns the promise that both compute the same. The include is run as it is, in a real Redis, with moments
//! that the test chooses: Redis TIME would never come to a clock that steps back.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redis::aio::MultiplexedConnection;
use tidegate::domain::limit::{LEAD_US_FURTHEST, Limit, Rate, SlotWish};
use tokio::runtime::Builder;

use crate::support::redis::RedisOptions;

/// What the assembler declares before the include, as far as the include uses it.
const BEFORE: &str = "local rc, K, now_us, now_ms = redis.call, { meta = KEYS[1] }, 0, 0\n";
/// Grants one wish after the other, each by its own clock, and takes some of the slots.
const AFTER: &str = r"
local period_us, burst, replies = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for i = 3, #ARGV, 6 do
  local wish = {}
  for n = 0, 5 do wish[n] = tonumber(ARGV[i + n]) end
  now_us = wish[0]
  local slots, tats, next_us = limit_slots(period_us, burst, wish[2], wish[4], wish[3], wish[1])
  limit_take(tats, math.min(wish[5], #slots))
  local reply = { string.format('%.17g', next_us), rc('HGET', K.meta, 'tat_us') or '0' }
  for _, slot_us in ipairs(slots) do reply[#reply + 1] = string.format('%.17g', slot_us) end
  replies[#replies + 1] = reply
end
return replies";

/// A wish, how far the clock has moved since the one before, and how many of its slots are used.
#[derive(Debug, Clone)]
struct Ask {
    moved_us: i64,
    lead_us: u32,
    horizon_us: u32,
    /// From now; none: the window does not close.
    closes_in_us: Option<i64>,
    count: usize,
    used: usize,
}

/// What Lua and the domain said: slots, the slot after them, and the arrival time that is kept.
type Said = (Vec<f64>, f64, f64);

/// Some of them multiples of the periods that `rate` prefers, so that slots meet the edges exactly.
fn microseconds(most: u32) -> impl Strategy<Value = u32> {
    prop_oneof![0..=most, (0..=most / 1000).prop_map(|thousands| thousands * 1000)]
}

fn ask() -> impl Strategy<Value = Ask> {
    // Now and then a clock steps back far, and then the arrival time is a leftover.
    let moved_us = prop_oneof![
        8 => microseconds(400_000).prop_map(i64::from),
        2 => -3_000_000..3_000_000i64,
        1 => -90_000_000_000..-1i64,
    ];
    let closes_in_us = prop_oneof![
        3 => Just(None),
        2 => microseconds(2_200_000).prop_map(|in_us| Some(i64::from(in_us) - 100_000)),
    ];
    let spans = (microseconds(2_000_000), microseconds(50_000));
    (moved_us, closes_in_us, spans, 0..40usize, 0..40usize).prop_map(
        |(moved_us, closes_in_us, (lead_us, horizon_us), count, used)| Ask {
            moved_us,
            lead_us,
            horizon_us,
            closes_in_us,
            count,
            used,
        },
    )
}

fn rate() -> impl Strategy<Value = Rate> {
    let calls = prop_oneof![1..50u32, 50..1_000_000u32];
    let any = (calls, prop::sample::select(vec!["s", "min", "h", "day"]))
        .prop_map(|(calls, unit)| format!("{calls}/{unit}"));
    let whole = prop::sample::select(vec!["1000/s", "500/s", "100/s"]).prop_map(str::to_owned);
    prop_oneof![any, whole].prop_map(|rate| rate.parse().expect("a rate"))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 stay below 2^53 until 2255"
)]
fn wishes(asks: &[Ask]) -> Vec<SlotWish> {
    let mut now_us = 1_763_640_000_000_000_i64;
    let wish = |ask: &Ask| {
        now_us += ask.moved_us;
        SlotWish {
            now_us: now_us as f64,
            lead_us: f64::from(ask.lead_us),
            horizon_us: f64::from(ask.horizon_us),
            before_us: ask.closes_in_us.map(|in_us| (now_us + in_us) as f64),
            count: ask.count,
        }
    };
    asks.iter().map(wish).collect()
}

/// What the domain computes.
fn computed(limit: Limit, asks: &[Ask]) -> Vec<Said> {
    let mut arrival_us = 0.0;
    let grant = |(ask, wish): (&Ask, SlotWish)| {
        let granted = limit.grant(arrival_us, wish);
        let used = granted.slots_us.len().min(ask.used);
        arrival_us = limit.grant(arrival_us, SlotWish { count: used, ..wish }).arrival_us;
        (granted.slots_us, granted.next_us, arrival_us)
    };
    asks.iter().zip(wishes(asks)).map(grant).collect()
}

/// What the script grants.
async fn granted(
    connection: &mut MultiplexedConnection,
    rate: Rate,
    burst: u32,
    asks: &[Ask],
) -> Vec<Said> {
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/lua/include/limit.lua");
    let include = std::fs::read_to_string(include)
        .expect("the include is there")
        .replace("RUST.LEAD_US_FURTHEST", &LEAD_US_FURTHEST.to_string());
    let mut call = redis::cmd("EVAL");
    call.arg(format!("{BEFORE}{include}{AFTER}"))
        .arg(1)
        .arg("meta")
        .arg(rate.period_us())
        .arg(burst);
    for (ask, wish) in asks.iter().zip(wishes(asks)) {
        call.arg(wish.now_us).arg(wish.lead_us).arg(wish.horizon_us);
        call.arg(wish.before_us.unwrap_or(0.0)).arg(ask.count).arg(ask.used);
    }
    redis::cmd("DEL").arg("meta").query_async::<()>(connection).await.expect("Redis answers");
    let replies: Vec<Vec<String>> = call.query_async(connection).await.expect("the script runs");
    let number = |text: &String| text.parse::<f64>().expect("a number");
    let said = |reply: &Vec<String>| {
        (reply[2..].iter().map(number).collect(), number(&reply[0]), number(&reply[1]))
    };
    replies.iter().map(said).collect()
}

#[test]
fn the_script_grants_what_the_domain_computes() {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(RedisOptions::default().set("appendonly", "no").start());
    let connection = runtime.block_on(server.connect()).expect("Redis answers");
    let cases = (rate(), 1..60u32, prop::collection::vec(ask(), 1..25));

    let mut runner = TestRunner::new(ProptestConfig { cases: 500, ..ProptestConfig::default() });
    let found = runner.run(&cases, |(rate, burst, asks)| {
        let lua = runtime.block_on(granted(&mut connection.clone(), rate, burst, &asks));
        prop_assert_eq!(lua, computed(Limit::new(rate, burst), &asks));
        Ok(())
    });

    found.unwrap_or_else(|why| panic!("{why}"));
}
