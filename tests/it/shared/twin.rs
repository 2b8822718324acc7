//! The arithmetic of accounts: the scripts are run as they are, in a real Redis, beside a model that only adds and subtracts.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Builder;

use crate::support::redis::RedisOptions;

const UNITS: u64 = 500;
/// Whoever holds more than a hundredth of what is left gets one call at a time.
const PART: u64 = 100;

/// What is done to an account.
#[derive(Debug, Clone)]
enum Step {
    /// Calls with these costs, while so many units are held.
    Reserve {
        costs: Vec<u64>,
        held: u64,
        asks: bool,
    },
    /// Of the reservation before so many units go back in all, of this call, so often.
    PutBack {
        call: usize,
        units: u64,
        times: usize,
    },
    Charge {
        units: i64,
        key: Option<u8>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let costs = prop::collection::vec(prop_oneof![3 => Just(1), 1 => 1..8u64], 1..12);
    prop_oneof![
        4 => (costs, 0..4u64, prop::bool::weighted(0.2))
            .prop_map(|(costs, held, asks)| Step::Reserve { costs, held, asks }),
        3 => (0..12usize, 0..8u64, 1..3usize)
            .prop_map(|(call, units, times)| Step::PutBack { call, units, times }),
        1 => (-60..60i64, prop::option::of(0..4u8))
            .prop_map(|(units, key)| Step::Charge { units, key }),
    ]
}

/// The scripts, by name, each with the keys that it declares.
struct Scripts(HashMap<String, (String, Vec<String>)>);

impl Scripts {
    fn new() -> Self {
        let plain = tidegate::store::assembled_scripts().into_iter();
        let plain = plain.filter_map(|(name, text, keys)| {
            Some((name.strip_suffix(".plain")?.to_owned(), (text, keys)))
        });
        Self(plain.collect())
    }

    async fn run<T: redis::FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        name: &str,
        args: &[String],
    ) -> T {
        let (text, keys) = &self.0[name];
        let mut call = redis::cmd("EVAL");
        call.arg(text).arg(keys.len()).arg(keys).arg(args);
        call.query_async(connection).await.expect("the script runs")
    }
}

/// A number as an argument of a script.
fn text<T: std::fmt::Display>(value: T) -> String {
    format!("{value}")
}

/// A period that began and ends long before and after the test.
fn quota_line() -> String {
    format!("quota brand calls {UNITS} 1000 99999999999000 199999999999000\n")
}

async fn used(connection: &mut MultiplexedConnection, field: &str, key: &str) -> u64 {
    let mut call = redis::cmd("HGET");
    let kept: Option<String> =
        call.arg(key).arg(field).query_async(connection).await.expect("it is");
    let kept = kept.unwrap_or_default();
    kept.split(' ').nth(2).map_or(0, |units| units.parse().expect("a number"))
}

fn reserve_args(
    line: &str,
    queue: &str,
    asks: bool,
    held: u64,
    rows: &[(u64, u64)],
) -> Vec<String> {
    let mut args = vec!["ABCDEFGHJKMN".to_owned(), line.to_owned(), queue.to_owned(), text(1)];
    args.extend([text(u8::from(asks)), text(50_000), text(0), text(2000), text(held)]);
    for (from_us, cost) in rows {
        args.extend([text(from_us), text(cost), text(cost), text(cost)]);
    }
    args
}

/// An account and what it should say.
struct Account<'a> {
    connection: MultiplexedConnection,
    scripts: &'a Scripts,
    units: u64,
    charged: BTreeMap<u8, i64>,
    /// Slot and cost of each message of the last reservation.
    last: Vec<(u64, u64)>,
    /// What went back of each, by the slot of the first and its number.
    back: HashMap<(u64, usize), u64>,
}

impl Account<'_> {
    async fn step(&mut self, number: usize, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Reserve { costs, held, asks } => self.reserve(costs, *held, *asks).await?,
            Step::PutBack { call, units, times } => {
                self.put_back(number, (*call, *units, *times)).await;
            }
            Step::Charge { units, key } => self.charge(*units, *key).await?,
        }
        prop_assert_eq!(used(&mut self.connection, "limit:brand", "meta").await, self.units);
        Ok(())
    }

    async fn reserve(&mut self, costs: &[u64], held: u64, asks: bool) -> Result<(), TestCaseError> {
        let rows: Vec<_> = costs.iter().map(|cost| (0, *cost)).collect();
        let args = reserve_args(&quota_line(), "a", asks, held, &rows);
        let reply: Vec<i64> = self.scripts.run(&mut self.connection, "reserve", &args).await;
        let given = (reply.len() - 2) / 3;
        let left = UNITS.saturating_sub(self.units);
        let mut taken = 0;
        for (at, cost) in costs.iter().enumerate().take(given) {
            taken += cost;
            let most = (left / PART).saturating_sub(held);
            prop_assert!(at == 0 || taken <= most, "{taken} of {left}, {held} held");
        }
        prop_assert!(taken <= left, "{taken} of {left}");
        prop_assert!(given > 0 || costs[0] > left, "one call passes: {left} left");
        if !asks {
            self.units += taken;
            let slots = reply[2..].chunks(3).map(|row| row[0].unsigned_abs());
            self.last = slots.zip(costs.iter().copied()).collect();
            self.back.clear();
        }
        Ok(())
    }

    async fn put_back(&mut self, number: usize, (call, most, times): (usize, u64, usize)) {
        let Some((slot_us, cost)) = self.last.get(call).copied() else { return };
        let units = most.min(cost);
        let args = vec![
            "ABCDEFGHJKMN".to_owned(),
            quota_line(),
            "a".to_owned(),
            format!("r{}.{call}", self.last[0].0),
            text(slot_us),
            text(units),
        ];
        for _ in 0..times {
            self.scripts.run::<Vec<i64>>(&mut self.connection, "put_back", &args).await;
        }
        // Under one number the largest sum that was named has gone self.back.
        let before = self.back.entry((self.last[0].0, call)).or_default();
        self.units = self.units.saturating_sub(units.saturating_sub(*before));
        *before = (*before).max(units);
        let args_of_other_period = vec![
            "ABCDEFGHJKMN".to_owned(),
            quota_line(),
            "a".to_owned(),
            format!("late{number}"),
            text(500_000),
            text(3),
        ];
        self.scripts.run::<Vec<i64>>(&mut self.connection, "put_back", &args_of_other_period).await;
    }

    async fn charge(&mut self, units: i64, key: Option<u8>) -> Result<(), TestCaseError> {
        let name = key.map_or(String::new(), |key| format!("k{key}"));
        let args = [
            "ABCDEFGHJKMN".to_owned(),
            quota_line(),
            text(units),
            name,
            text(units),
            text(86_400_000),
        ];
        let code: Vec<i64> = self.scripts.run(&mut self.connection, "charge", &args).await;
        let known = key.and_then(|key| self.charged.insert(key, units).map(|was| (key, was)));
        let expected = match known {
            None => 0,
            Some((key, was)) => {
                self.charged.insert(key, was);
                if was == units { 1 } else { 2 }
            }
        };
        prop_assert_eq!(code[0], expected);
        if expected == 0 {
            self.units = self.units.saturating_add_signed(units);
        }
        Ok(())
    }
}

#[test]
fn a_quota_is_what_was_reserved_and_charged_less_what_went_back() {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(RedisOptions::default().set("appendonly", "no").start());
    let connection = runtime.block_on(server.connect()).expect("Redis answers");
    let scripts = Scripts::new();
    let mut runner = TestRunner::new(ProptestConfig { cases: 150, ..ProptestConfig::default() });
    let cases = prop::collection::vec(step(), 1..40);

    let found = runner.run(&cases, |steps| {
        let mut connection = connection.clone();
        runtime.block_on(async {
            redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.expect("Redis answers");
            let mut account = Account {
                connection,
                scripts: &scripts,
                units: 0,
                charged: BTreeMap::new(),
                last: Vec::new(),
                back: HashMap::new(),
            };
            for (number, step) in steps.iter().enumerate() {
                account.step(number, step).await?;
            }
            Ok(())
        })
    });

    found.unwrap_or_else(|why| panic!("{why}"));
}

/// Slots of an account with a rate, however they are asked for: in any window no more than the rate lets through, with the part of the
/// 20 ms that slots may take.
#[test]
fn slots_of_a_shared_rate_keep_their_pace() {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(RedisOptions::default().set("appendonly", "no").start());
    let connection = runtime.block_on(server.connect()).expect("Redis answers");
    let scripts = Scripts::new();
    let mut runner = TestRunner::new(ProptestConfig { cases: 40, ..ProptestConfig::default() });
    let asks = prop::collection::vec((0..3usize, 0..40_000u64, 1..6usize, 1..4u64), 10..60);

    let found = runner.run(&(asks, 1..6u32), |(asks, burst)| {
        let mut connection = connection.clone();
        runtime.block_on(async {
            redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.expect("Redis answers");
            let period_us = 4000;
            let line = format!("rate line calls {period_us} {burst}\n");
            let (mut slots, mut largest): (Vec<(u64, u64)>, u64) = (Vec::new(), 1);
            for (queue, ahead_us, count, cost) in asks {
                let time: Vec<u64> =
                    redis::cmd("TIME").query_async(&mut connection).await.expect("it is");
                let from_us = time[0] * 1_000_000 + time[1] + ahead_us;
                let rows = vec![(from_us, cost); count];
                let args = reserve_args(&line, ["a", "b", "c"][queue], false, 0, &rows);
                let reply: Vec<i64> = scripts.run(&mut connection, "reserve", &args).await;
                for row in reply[2..].chunks(3) {
                    let slot_us = row[0].unsigned_abs();
                    prop_assert!(slot_us >= from_us && row[1] >= row[0]);
                    slots.push((slot_us, cost));
                    largest = largest.max(cost);
                }
            }
            slots.sort_unstable();
            for from in 0..slots.len() {
                let mut units = 0;
                for (slot_us, cost) in &slots[from..] {
                    units += cost;
                    let window_us = slot_us - slots[from].0 + 5_000;
                    let allowed = window_us / period_us + u64::from(burst) + largest - 1;
                    prop_assert!(
                        units <= allowed,
                        "{units} within {window_us} µs, {allowed} allowed"
                    );
                }
            }
            Ok(())
        })
    });

    found.unwrap_or_else(|why| panic!("{why}"));
}
