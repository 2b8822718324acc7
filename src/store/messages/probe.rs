//! Asking about uncertain messages: which are due, and what a probe came to.
//!
//! Owns the calls of a prober. Each shows the fence that its message came with: what was asked,
//! planned or decided since makes it late, and a late prober changes nothing. Refuses to know whom is
//! asked, and what an answer means (see `engine::probe`).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use ulid::Ulid;

use super::Messages;
use super::operate::{Changed, Decision};
use crate::domain::id::MessageId;
use crate::domain::message::{Details, Probes};
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::record::{Record, StateEntry};
use crate::store::redis::reply::Reply;
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields, rows, timed_call};
use crate::store::tail::{PackedProbes, Tail};
use crate::store::wire::clock_watch::{DOUBT_PAUSE, Timed, until};

/// An uncertain message that this node may ask about.
#[derive(Debug)]
pub struct Doubtful {
    /// The message.
    pub id: MessageId,
    /// What the prober must show.
    fence: String,
    /// Which attempt it is that nobody can tell of.
    pub attempt: u32,
    /// When its first attempt began, ms by Redis.
    pub first_attempt_ms: u64,
    /// Milliseconds for which the queue had been paused by then.
    pub paused_at_first_ms: u64,
    /// Overrides of the retry policy, and the rest.
    pub details: Details,
    /// Probes so far that could not tell.
    pub probes: u32,
    /// Why it is uncertain.
    pub reason: Option<String>,
    tail: Tail<'static>,
}

/// What is to be asked about now.
#[derive(Debug)]
pub struct DueProbes {
    /// Each to be asked about once, by this node alone, before its lease ends.
    pub messages: Vec<Doubtful>,
    /// When the next one falls due; `None`: none is planned.
    pub next_in: Option<Duration>,
    /// Where the search for messages without a plan goes on.
    pub rank: u64,
    /// Milliseconds for which the queue has been paused in all.
    pub paused_ms: u64,
}

/// How long probes take, for [`Messages::probe`].
#[derive(Debug, Clone, Copy)]
pub struct ProbeTimes {
    /// A node that asks is the only one for so long.
    pub lease_ms: u64,
    /// From now to the first probe of a message that nobody planned one for.
    pub after_ms: u64,
    /// No probe is planned further ahead.
    pub furthest_ms: u64,
}

impl Messages {
    /// Takes uncertain messages that are due to be asked about; none while the queue is paused or its
    /// gate shut.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; what a lost reply named comes again when its lease is over.
    pub async fn probe(
        &self,
        queue: &Queue,
        shard: &Shard,
        most: usize,
        times: ProbeTimes,
        rank: u64,
    ) -> Result<DueProbes, StoreError> {
        let call = timed_call!(
            Probe,
            most = most,
            lease_ms = times.lease_ms,
            after_ms = times.after_ms,
            rank = rank,
            furthest_ms = if self.wire.is_aftermath() { times.furthest_ms } else { 0 },
        );
        // A clock ahead of time would let a probe ask before the downstream has booked.
        let Some(Timed { now_us, mut reply }) = self.wire.timed(shard, call).await? else {
            let next_in = Some(DOUBT_PAUSE);
            return Ok(DueProbes { messages: Vec::new(), next_in, rank, paused_ms: 0 });
        };
        fields!(reply as Probe; next_ms: Option<u64>, rank: u64, paused_ms: u64);
        rows!(reply as Probe);
        let mut messages = Vec::new();
        while reply.len() > 0 {
            match read_doubtful(queue, &mut reply) {
                Ok(message) => messages.push(message),
                // It stays uncertain, and holds up none of the others.
                Err(error) => tracing::debug!(%error, "an uncertain message cannot be read"),
            }
        }
        queue.metrics.count("probe", messages.len());
        Ok(DueProbes { messages, next_in: until(now_us, next_ms), rank, paused_ms })
    }

    /// A probe could not tell, or was not made (`words`: none): the next one in `delay_ms`, or never.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub async fn postpone(
        &self,
        queue: &Queue,
        message: &Doubtful,
        words: Option<&Probes>,
        delay_ms: Option<u64>,
    ) -> Result<Changed, StoreError> {
        let tail = words.map(|words| message.tail_with(words, None, None).to_bytes());
        let call = call!(
            Postpone,
            ulid = arg(message.id.ulid),
            probe_token = &message.fence,
            delay_ms = delay_ms,
            tail = tail.unwrap_or_default(),
        );
        let mut reply = self.wire.call(queue.shard_of(&message.id), &call).await?;
        fields!(reply as Postpone; code: i64);
        let changed = match code {
            0 => Changed::Done,
            2 => Changed::Late,
            3 => Changed::NotFound,
            other => return Err(StoreError::Reply(format!("postpone answered {other}"))),
        };
        if words.is_some() && changed == Changed::Done {
            queue.metrics.count("postpone", 1);
        }
        Ok(changed)
    }

    /// What a probe found decides, unless an operator was faster.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub async fn resolve_probed(
        &self,
        queue: &Queue,
        message: &Doubtful,
        decision: Decision,
        words: &Probes,
        reason: Option<&str>,
    ) -> Result<Changed, StoreError> {
        let tail = message.tail_with(words, reason, Some("probe")).to_bytes();
        self.resolve_as(queue, &message.id, decision, tail, &message.fence).await
    }
}

impl Doubtful {
    fn tail_with<'a>(
        &'a self,
        words: &'a Probes,
        reason: Option<&'a str>,
        by: Option<&'a str>,
    ) -> Tail<'a> {
        Tail {
            in_doubt: true,
            reason: reason.or(self.tail.reason.as_deref()).map(Cow::Borrowed),
            probes: Some(PackedProbes::pack(words)),
            by: by.map(Cow::Borrowed),
            ..self.tail.clone()
        }
    }
}

fn read_doubtful(queue: &Queue, reply: &mut Reply) -> Result<Doubtful, StoreError> {
    fields!(
        row of reply as Probe;
        ulid: String, probe_token: String, state: Bytes, record: Bytes
    );
    let ulid = Ulid::from_string(&ulid).map_err(|error| StoreError::Reply(error.to_string()))?;
    let (entry, record) = (StateEntry::unpack(state)?, Record::unpack(record)?);
    Ok(Doubtful {
        id: MessageId { queue: queue.policy.name.clone(), ulid },
        fence: probe_token,
        attempt: entry.attempts,
        first_attempt_ms: entry.first_attempt_ms,
        paused_at_first_ms: entry.paused_at_first_ms,
        details: record.details,
        probes: entry.tail.probes.as_ref().map_or(0, PackedProbes::count),
        reason: entry.tail.reason.as_deref().map(str::to_owned),
        tail: entry.tail,
    })
}
