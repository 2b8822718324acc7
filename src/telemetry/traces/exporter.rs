//! Sends finished spans to the collector, many at once.
//!
//! Owns when they are sent and sent again, and how long a stop waits for them. Nothing here holds a message up: what the queue of
//! spans cannot take is lost.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::collector::{Collector, NotTaken};
use super::otlp::{self, TraceSource};
use super::span::FinishedSpan;
use super::trouble::{CollectorHealth, Sent};

/// Spans of one request: at most so many.
const TOGETHER_MAX: usize = 512;
/// A span waits so long for others at most.
const GATHER_MAX: Duration = Duration::from_secs(1);
/// Before the same spans are sent again: at first, and at most; it doubles in between.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a stop waits for the last spans.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// The way of finished spans to the collector.
#[derive(Debug)]
pub struct TraceExporter {
    collector: Collector,
    spans: mpsc::Receiver<FinishedSpan>,
    health: CollectorHealth,
}

impl TraceExporter {
    pub(super) fn new(
        url: &Url,
        spans: mpsc::Receiver<FinishedSpan>,
        health: CollectorHealth,
    ) -> Self {
        Self { collector: Collector::new(url), spans, health }
    }

    /// The loop; once `stop` fires it sends what there is within [`FLUSH_MAX`], and ends.
    pub async fn run(mut self, source: TraceSource, stop: CancellationToken) {
        let mut gathered = Vec::with_capacity(TOGETHER_MAX);
        loop {
            if gathered.is_empty() && !self.gather(&mut gathered, &stop).await {
                break;
            }
            let mut pause = PAUSE_MIN;
            while !self.export(&source, &gathered, Some(&stop)).await && !stop.is_cancelled() {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
                }
            }
            if stop.is_cancelled() {
                break;
            }
            gathered.clear();
        }
        self.flush(&source, gathered).await;
    }

    /// Takes spans until they are enough for a request, or the first has waited long enough. False: it is time to stop.
    async fn gather(&mut self, gathered: &mut Vec<FinishedSpan>, stop: &CancellationToken) -> bool {
        let mut until = None;
        while gathered.len() < TOGETHER_MAX {
            let room = TOGETHER_MAX - gathered.len();
            let calm_at = self.health.calm_at();
            tokio::select! {
                () = stop.cancelled() => return false,
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
                () = sleep_until(calm_at.unwrap_or_else(Instant::now)), if calm_at.is_some() => {
                    self.health.note(Sent::Whole, Instant::now());
                }
                count = self.spans.recv_many(gathered, room) => {
                    if count == 0 {
                        return false;
                    }
                }
            }
            until = until.or_else(|| Some(Instant::now() + GATHER_MAX));
        }
        true
    }

    /// Sends spans once; false: the same may be sent again. With `stop`, a request that hangs is given up then.
    async fn export(
        &mut self,
        source: &TraceSource,
        spans: &[FinishedSpan],
        stop: Option<&CancellationToken>,
    ) -> bool {
        let sent = self.collector.send(otlp::request(source, spans));
        let stopped = async {
            match stop {
                Some(stop) => stop.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            answer = sent => answer,
            () = stopped => return false,
        };
        let refused;
        let (sent, is_done) = match &answer {
            Ok(answer) => match otlp::refused(answer) {
                None => (Sent::Whole, true),
                Some((count, why)) => {
                    self.health.lose(count);
                    refused = format!("{count} of {} spans: {why}", spans.len());
                    (Sent::Refused(&refused), true)
                }
            },
            Err(NotTaken::ForGood(why)) => {
                self.health.lose(spans.len() as u64);
                (Sent::Refused(why), true)
            }
            Err(NotTaken::ForNow(why)) => (Sent::Later(why), false),
        };
        self.health.note(sent, Instant::now());
        is_done
    }

    /// The last spans, as far as they can be sent in time.
    async fn flush(mut self, source: &TraceSource, mut gathered: Vec<FinishedSpan>) {
        self.spans.close();
        let until = Instant::now() + FLUSH_MAX;
        loop {
            while gathered.len() < TOGETHER_MAX
                && let Ok(span) = self.spans.try_recv()
            {
                gathered.push(span);
            }
            if gathered.is_empty() {
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            let count = gathered.len() + self.spans.len();
            if !timeout(left, self.export(source, &gathered, None)).await.unwrap_or(false) {
                self.health.lose(count as u64);
                tracing::warn!(spans = count, "the last traces could not be sent");
                return;
            }
            gathered.clear();
        }
    }
}
