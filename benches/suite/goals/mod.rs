//! The goals; one file for what belongs together.

mod backlog;
mod cost;
mod dispatch;
mod drain;
mod growth;
mod idle;
mod intake;
mod keys;
mod lateness;
mod limit;
mod raw;
mod waiters;

use crate::kit::report::Report;
use crate::plan::Plan;

/// Runs what is wanted. One that fails leaves the others their turn.
pub(crate) async fn run(plan: &Plan, report: &mut Report) {
    for goal in (1..=14).filter(|goal| plan.wants(*goal)) {
        let ended = match goal {
            1 => intake::batched(plan, report).await,
            2 => intake::single(plan, report).await,
            3 => drain::many(plan, report).await,
            4 => drain::mass(plan, report).await,
            5 => dispatch::run(plan, report).await,
            6 => lateness::run(plan, report).await,
            7 => cost::bytes(plan, report).await,
            8 => limit::run(plan, report).await,
            9 => idle::run(plan, report).await,
            10 => cost::life(plan, report).await,
            11 => drain::on_disk(plan, report).await,
            12 => growth::run(plan, report).await,
            13 => waiters::run(plan, report).await,
            _ => keys::run(plan, report).await,
        };
        if let Err(error) = ended {
            report.failed(&format!("goal {goal}"), &error);
        }
    }
}
