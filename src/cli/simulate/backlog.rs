//! The backlog of a running daemon, which is only read.

use super::arrivals::{Arrivals, Arriving};
use crate::cli::Session;
use crate::cli::client::Target;
use crate::cli::exit::Failure;
use crate::domain::forecast::whole;
use crate::domain::gates::{PauseEnd, QueueLoad, Snapshot};
use crate::domain::limit::KeptLimit;
use crate::domain::policy::QueuePolicy;
use crate::wire::forecast::ForecastView;
use crate::wire::queue::{QueueList, QueueView};

/// Takes over what waits in each queue that the configuration has as well, and what of its quotas is used.
pub(super) async fn read(
    hours: u32,
    all: &mut Arrivals,
    session: &mut Session,
) -> Result<(), Failure> {
    let list: QueueList = session.client.get(&Target::new(&["v1", "queues"])).await?.read()?;
    for view in &list.queues {
        let name = view.name.as_str();
        let Some(queue) = all.queue(name) else {
            let text =
                format!("the configuration has no queue \"{name}\": its messages are left out");
            session.screen.note(&text)?;
            continue;
        };
        queue.snapshot = snapshot(view, &queue.policy);
        let target = Target::new(&["v1", "queues", name, "forecast"]);
        let answer = session.client.get(&target.with("hours", hours.to_string())).await?;
        let forecast: ForecastView = answer.read()?;
        let later: u64 = forecast.by_hour.iter().map(|hour| hour.due).sum();
        queue.ready += whole(forecast.backlog.saturating_sub(later));
        for hour in forecast.by_hour.iter().filter(|hour| hour.due > 0) {
            let messages = whole(hour.due);
            let due_ms = hour.at.0;
            queue.add(&Arriving { due_ms, expires_ms: None, keys: "", cost: 1.0, messages });
        }
    }
    Ok(())
}

/// Its pause, its gate, and what of its quotas is used, by their names.
fn snapshot(view: &QueueView, policy: &QueuePolicy) -> Snapshot {
    let pause = view.paused.as_ref().map(|paused| match paused.until {
        Some(at) => PauseEnd::At(at.0),
        None => PauseEnd::Resume,
    });
    let limits = policy.wide_limits().map(|rule| {
        let shown = view.limits.iter().find(|limit| limit.name == rule.name.as_str());
        let used = shown.and_then(|limit| Some((limit.used?, limit.resets_at?.0)));
        match (rule.quota(), used) {
            (Some(_), Some((used, resets_ms))) => KeptLimit::used_until(used, resets_ms),
            _ => KeptLimit::default(),
        }
    });
    let load = QueueLoad { limits: limits.collect(), shards: Vec::new() };
    let throttled_until_ms = view.gate.until.map(|at| at.0);
    Snapshot { pause, throttled_until_ms, load: Some(load), call_ms: 0 }
}
