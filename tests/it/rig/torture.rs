//! `make torture`: runs of all scenarios, one after the other, until the time is over.
//!
//! Owns the order and the end. Each run has a seed of its own, made of the campaign's; a failed one
//! leaves its history, and the campaign goes on. Refuses to know what a scenario does.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

use tokio::time::Instant;

use super::run::{Size, run};
use super::scenarios::{SCENARIOS, Scenario, judge};
use super::tally::Tallies;

/// What `make torture` says: minutes, seed and, if only one is wanted, a scenario.
const ENVIRONMENT: &str = "TIDEGATE_TORTURE";
/// What draining and starting take beside what a run lasts.
const AROUND: Duration = Duration::from_secs(12);

struct Campaign {
    minutes: f64,
    seed: u64,
    scenarios: Vec<Scenario>,
}

impl Campaign {
    fn told() -> Option<Self> {
        let told = std::env::var(ENVIRONMENT).ok()?;
        let mut words = told.split_whitespace();
        let mut word = || words.next();
        let minutes = word().and_then(|text| text.parse().ok()).expect("MINUTES is a number");
        let seed = word().and_then(|text| text.parse().ok()).expect("SEED is a number");
        let scenarios = word().map_or(SCENARIOS.to_vec(), |name| vec![Scenario::of(name)]);
        Some(Self { minutes, seed, scenarios })
    }
}

/// The campaign; does nothing when somebody runs all ignored tests.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told: make torture MINUTES=n SEED=s"]
async fn campaign() {
    let Some(Campaign { minutes, seed, scenarios }) = Campaign::told() else { return };
    let (began, whole) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let mut tallies = Tallies::default();
    let mut spent = vec![Duration::ZERO; scenarios.len()];
    let mut run_seed = seed;
    while began.elapsed() + AROUND < whole {
        // Whose share is the least used.
        let share = |at: &usize| spent[*at].as_secs_f64() / f64::from(scenarios[*at].percent);
        let next = (0..scenarios.len()).min_by(|a, b| share(a).total_cmp(&share(b)));
        let next = next.expect("there are scenarios");
        let scenario = scenarios[next];
        let left = whole.saturating_sub(began.elapsed() + AROUND);
        let size = Size { length: Size::LARGE.length.min(left), ..Size::LARGE };
        eprintln!("{} with seed {run_seed}, {:.0?}", scenario.name, size.length);
        let run_began = Instant::now();
        let plan = scenario.plan(size);
        // What breaks one run does not break the campaign.
        let done = AssertUnwindSafe(run(&plan, run_seed)).catch_unwind().await;
        let tally = tallies.0.entry(scenario.name).or_default();
        match done {
            Ok(done) => {
                let report = judge(&scenario, run_seed, &done);
                tally.add(run_seed, run_began.elapsed(), &done.history, &report);
                eprintln!("  {}", report.to_string().lines().next().unwrap_or_default());
            }
            Err(_panic) => {
                eprintln!("  broke off, see above");
                tally.broke(run_seed);
            }
        }
        tallies.write(seed);
        spent[next] += run_began.elapsed();
        run_seed += 1;
    }
    eprintln!("\n{tallies}\n{}", tallies.write(seed).display());
    let failed: Vec<_> = tallies.0.iter().filter(|(_, tally)| !tally.failed.is_empty()).collect();
    for (name, tally) in &failed {
        eprintln!("{name} failed with the seeds {:?} (of {} runs)", tally.failed, tally.runs);
    }
    assert!(failed.is_empty(), "repeat one: make torture MINUTES=2 SCENARIO=name SEED=seed");
}
