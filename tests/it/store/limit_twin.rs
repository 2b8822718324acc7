//! The limits stand twice: in Lua, where slots are granted, and in the domain, where they are explained.
//!
//! Owns the promise that both compute the same. The include is run as it is, in a real Redis, with moments
//! that the test chooses: Redis TIME would never come to a clock that steps back.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redis::aio::MultiplexedConnection;
use tidegate::domain::limit::{
    FirstSlot, LEAD_US_FURTHEST, LimitKind, LimitRule, LimitStanding, LimitUnit, Quota,
    StackedLimits, Units,
};
use tokio::runtime::Builder;

use crate::support::redis::RedisOptions;

/// What the assembler declares before the include, as far as the include uses it.
const BEFORE: &str =
    "local rc, K, now_us, now_ms = redis.call, { meta = KEYS[1], claims = KEYS[2] }, 0, 0\n";
/// One step: asks for the slots of some calls, takes those within the horizon, and gives some of them back.
const AFTER: &str = r"
local wish = {}
for n = 1, 3 do wish[n] = tonumber(ARGV[n]) end
now_us, now_ms = wish[1], math.floor(wish[1] / 1000)
local limits, said = limits_read(ARGV[4], wish[3]), {}
for i = 5, #ARGV, 3 do
  local calls, messages = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local first_us = now_us + wish[2]
  local slot_us, is_known = limits_slot(limits, first_us, calls, messages)
  said[#said + 1] = string.format('%.17g', slot_us)
  said[#said + 1] = is_known and 'at' or 'not before'
  said[#said + 1] = limits_fit(limits, first_us, messages) and 'fits' or 'is too much'
  if is_known and slot_us <= first_us + wish[3] then
    if limits_most(limits, slot_us, first_us + wish[3], 1000) < 1 then said[#said] = 'none' end
    limits_take(limits, slot_us, calls, messages)
    if ARGV[i + 2] == '1' then limits_give_back(limits, slot_us, calls, messages) end
  end
end
limits_save(limits, 'node')
return said";

/// A call that asks for a slot.
#[derive(Debug, Clone, Copy)]
struct Wish {
    calls: u64,
    messages: u64,
    goes_back: bool,
}

/// What is asked at one moment, and how far the clock has moved since the one before.
#[derive(Debug, Clone)]
struct Step {
    moved_us: i64,
    lead_us: u32,
    horizon_us: u32,
    wishes: Vec<Wish>,
    /// Which of the two configurations holds: a reload changes rates, units and zones.
    is_reloaded: bool,
}

/// Some of them multiples of the periods that rates prefer, so that slots meet the edges exactly.
fn microseconds(most: u32) -> impl Strategy<Value = u32> {
    prop_oneof![0..=most, (0..=most / 1000).prop_map(|thousands| thousands * 1000)]
}

fn step() -> impl Strategy<Value = Step> {
    // Now and then a clock steps back far, and then the arrival time is a leftover; or hours pass, and a quota begins anew.
    let moved_us = prop_oneof![
        8 => microseconds(400_000).prop_map(i64::from),
        2 => -3_000_000..3_000_000i64,
        2 => 0..7_200_000_000i64,
        1 => -90_000_000_000..-1i64,
    ];
    let cost = prop_oneof![4 => Just(1), 2 => 1..6u64, 1 => 1..=10_000u64];
    let wish =
        (cost, any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(cost, is_batch, goes_back)| {
            Wish { calls: if is_batch { 1 } else { cost }, messages: cost, goes_back }
        });
    let wishes = prop::collection::vec(wish, 0..12);
    let spans = (microseconds(2_000_000), microseconds(50_000));
    (moved_us, spans, wishes, prop::bool::weighted(0.1)).prop_map(
        |(moved_us, (lead_us, horizon_us), wishes, is_reloaded)| Step {
            moved_us,
            lead_us,
            horizon_us,
            wishes,
            is_reloaded,
        },
    )
}

/// A list of limits; the same names each time, whatever they are.
fn rules() -> impl Strategy<Value = Vec<LimitRule>> {
    let calls = prop_oneof![1..50u32, 50..1_000_000u32];
    let pace = (calls, prop::sample::select(vec!["s", "min", "h", "day"]), 1..60u32);
    let rate = pace.prop_map(|(calls, per, burst)| LimitKind::Rate {
        rate: format!("{calls}/{per}").parse().expect("a rate"),
        burst,
    });
    let zones = vec!["UTC", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York"];
    let periods = vec!["hour", "day", "week", "month"];
    let quota = (1..400u32, prop::sample::select(periods), prop::sample::select(zones));
    let quota = quota.prop_map(|(units, period, zone)| {
        let zone = zone.parse().expect("a time zone");
        let quota: Quota = format!("{units}/{period}").parse().expect("a quota");
        LimitKind::Quota(quota.in_zone(zone))
    });
    let unit = prop_oneof![Just(LimitUnit::Calls), Just(LimitUnit::Messages)];
    let any = (prop_oneof![rate, quota], unit);
    prop::collection::vec(any, 1..4).prop_map(|limits| {
        let names = ["rate", "a", "b-2"].map(|name| name.parse().expect("a name"));
        let rule = |(name, (kind, unit))| LimitRule {
            name,
            kind,
            unit,
            per: None,
            shared: false,
            cap: None,
        };
        names.into_iter().zip(limits).map(rule).collect()
    })
}

/// The limits as scripts take them.
fn lines(rules: &[LimitRule], now_ms: u64) -> String {
    let line = |rule: &LimitRule| {
        let (name, unit) = (&rule.name, rule.unit.as_str());
        match &rule.kind {
            LimitKind::Rate { rate, burst } => {
                format!("rate {name} {unit} {} {burst}\n", rate.period_us())
            }
            LimitKind::Quota(quota) => {
                let [start, next, end] = quota.boundaries_ms(now_ms);
                format!("quota {name} {unit} {} {start} {next} {end}\n", quota.units())
            }
            LimitKind::Concurrency(_) => String::new(),
        }
    };
    rules.iter().map(line).collect()
}

/// What Redis keeps of each limit, and its debt.
async fn kept(connection: &mut MultiplexedConnection, rules: &[LimitRule]) -> Vec<[String; 2]> {
    let mut kept = Vec::new();
    for rule in rules {
        let is_own = rule.name.as_str() == "rate" && rule.quota().is_none();
        let field = if is_own { "tat_us".to_owned() } else { format!("limit:{}", rule.name) };
        let mut call = redis::cmd("HMGET");
        call.arg("meta").arg(field).arg(format!("debt:{}", rule.name));
        let both: [Option<String>; 2] = call.query_async(connection).await.expect("Redis answers");
        kept.push(both.map(Option::unwrap_or_default));
    }
    kept
}

fn standing(rules: &[LimitRule], kept: &[[String; 2]], times: (f64, f64)) -> StackedLimits {
    let each =
        rules.iter().zip(kept).map(|(rule, [kept, debt])| (rule, kept.as_str(), debt.as_str()));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a moment of this century"
    )]
    let now_ms = (times.0 / 1000.0) as u64;
    StackedLimits::read(each, times, now_ms)
}

/// What the domain computes.
fn computed(limits: &mut StackedLimits, now_us: f64, step: &Step) -> Vec<String> {
    let first_us = now_us + f64::from(step.lead_us);
    let mut said = Vec::new();
    for wish in &step.wishes {
        let units = Units { slot_us: 0, calls: wish.calls, messages: wish.messages };
        let (slot, fits) = (limits.slot(first_us, units), limits.fit(first_us, wish.messages));
        let (slot_us, is_known) = match slot {
            FirstSlot::At(slot_us) => (slot_us, true),
            FirstSlot::NotBefore(slot_us) => (slot_us, false),
        };
        let words =
            [if is_known { "at" } else { "not before" }, if fits { "fits" } else { "is too much" }];
        said.push(format!("{slot_us} {}", words.join(" ")));
        if is_known && slot_us <= first_us + f64::from(step.horizon_us) {
            limits.take(slot_us, units);
            if wish.goes_back {
                limits.give_back(slot_us, units);
            }
        }
    }
    said
}

/// What the script says.
async fn granted(
    connection: &mut MultiplexedConnection,
    lines: &str,
    now_us: f64,
    step: &Step,
) -> Vec<String> {
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/lua/include/limits.lua");
    let include = std::fs::read_to_string(include)
        .expect("the include is there")
        .replace("RUST.LEAD_US_FURTHEST", &LEAD_US_FURTHEST.to_string());
    let mut call = redis::cmd("EVAL");
    call.arg(format!("{BEFORE}{include}{AFTER}")).arg(2).arg("meta").arg("claims");
    call.arg(now_us).arg(step.lead_us).arg(step.horizon_us).arg(lines);
    for wish in &step.wishes {
        call.arg(wish.calls).arg(wish.messages).arg(u8::from(wish.goes_back));
    }
    let said: Vec<String> = call.query_async(connection).await.expect("the script runs");
    let each = said.chunks_exact(3).map(|words| {
        let slot_us: f64 = words[0].parse().expect("a number");
        format!("{slot_us} {} {}", words[1], words[2])
    });
    each.collect()
}

/// What counts of how limits stand: arrival times, and units used.
fn essence(limits: &StackedLimits) -> Vec<String> {
    let each = limits.limits().iter().map(|limit| match &limit.standing {
        LimitStanding::Rate { arrival_us, .. } => format!("{} {arrival_us}", limit.name),
        LimitStanding::Quota { used, .. } => format!("{} {used:?}", limit.name),
    });
    each.collect()
}

#[test]
fn the_script_grants_what_the_domain_computes() {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(RedisOptions::default().set("appendonly", "no").start());
    let connection = runtime.block_on(server.connect()).expect("Redis answers");
    let cases = (rules(), rules(), prop::collection::vec(step(), 1..25));

    let mut runner = TestRunner::new(ProptestConfig { cases: 300, ..ProptestConfig::default() });
    let found = runner.run(&cases, |(present, other, steps)| {
        let mut connection = connection.clone();
        runtime.block_on(async {
            let cleared = redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await;
            cleared.expect("Redis answers");
            let (mut now_us, mut present, mut other) = (1_763_640_000_000_000_i64, present, other);
            for step in &steps {
                if step.is_reloaded {
                    std::mem::swap(&mut present, &mut other);
                }
                now_us += step.moved_us;
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "microseconds since 1970 stay below 2^53 until 2255"
                )]
                let times = (now_us as f64, f64::from(step.horizon_us));
                let mut limits = standing(&present, &kept(&mut connection, &present).await, times);
                let lines = lines(&present, u64::try_from(now_us / 1000).expect("positive"));
                let lua = granted(&mut connection, &lines, times.0, step).await;
                prop_assert_eq!(lua, computed(&mut limits, times.0, step));
                let kept = standing(&present, &kept(&mut connection, &present).await, times);
                prop_assert_eq!(essence(&kept), essence(&limits));
            }
            Ok(())
        })
    });

    found.unwrap_or_else(|why| panic!("{why}"));
}
