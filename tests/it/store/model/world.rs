//! Carries steps out, on the store and on the model, and compares.

use std::collections::BTreeSet;

use bytes::Bytes;
use tidegate::domain::gates::Gate;
use tidegate::domain::id::MessageId;
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::store::{
    Changed, ClaimStatus, ClaimWish, Claimed, Decision, Edit, Lease, NotAccepted, RECORD_VERSION,
    Verb, Verdict,
};

use super::known::{Known, Model};
use super::{HOUR_MS, Moment, SOON_MS, Step};
use crate::store::ground::Ground;
use crate::store::node::{Node, WISH, With, ended, message};

const QUEUE: &str = "concurrency = 1000\npriority_levels = 3";
const WEIGHED: &str =
    "concurrency = 1000\npriority_levels = 3\nretention = { delivered_max_bytes = \"1GiB\" }";
const BODIES: [&str; 2] = ["ebb", "flow"];
const NOBODYS: &str = "00000000000000000000";

/// The store, the model, and the ground they stand on.
pub(super) struct World {
    ground: Ground,
    node: Node,
    hasty: Node,
    weighing: Node,
    model: Model,
    /// The latest moment that a step made, unless it is far away.
    made_ms: u64,
}

impl World {
    /// In a namespace whose records are of this version.
    pub(super) async fn of_version(version: u8) -> Self {
        let ground = Ground::in_memory().await.of_version(version).await;
        let node = ground.node(QUEUE).await;
        let hasty = ground.node_shaped(QUEUE, |policy| policy.lease_ms = 1).await;
        let weighing = ground.node(WEIGHED).await;
        Self { ground, node, hasty, weighing, model: Model::default(), made_ms: 0 }
    }

    /// One step, and everything that must hold after it.
    pub(super) async fn run(&mut self, step: Step) {
        self.ground.passes(self.made_ms).await;
        self.carry_out(step).await;
        self.made_ms = self.ground.now_ms().await + SOON_MS;
        self.compare().await;
    }

    async fn carry_out(&mut self, step: Step) {
        match step {
            Step::Schedule { due, expires, priority, key, body } => {
                self.schedule(due, expires, priority, key, body).await;
            }
            Step::Promote => self.promote().await,
            Step::Claim { most, lasts } => self.claim(most, lasts).await,
            Step::Settle { verb, which, soon } => self.settle(verb, &which, soon).await,
            Step::Throttle { which } => self.throttle(which).await,
            Step::Reap => self.reap().await,
            Step::Expire => self.expire().await,
            Step::Cancel(which) => self.cancel(which).await,
            Step::Reschedule { which, due, expires, priority, payload } => {
                self.reschedule(which, due, expires, priority, payload).await;
            }
            Step::Requeue(which) => self.requeue(which).await,
            Step::RequeueAll(state) => self.requeue_all(state).await,
            Step::Resolve { which, decision } => self.resolve(which, decision).await,
            Step::Purge(state) => self.purge(state).await,
            Step::Raise => {
                self.ground.raise_to(RECORD_VERSION).await;
                self.node = self.ground.node(QUEUE).await;
            }
            Step::Weigh(is_weighed) => {
                let node = if is_weighed { &self.weighing } else { &self.node };
                let pruned =
                    node.store.messages.prune(&node.queue, node.shard(), &[]).await.unwrap();
                assert_eq!(pruned.messages, 0);
            }
            Step::Pause => {
                self.node.store.queues.pause(&self.node.name, None, "", "").await.unwrap();
                self.model.is_paused = true;
            }
            Step::Resume => {
                let was = self.node.store.queues.resume(&self.node.name).await.unwrap();
                assert_eq!(was, self.model.is_paused || self.model.is_shut);
                (self.model.is_paused, self.model.is_shut) = (false, false);
            }
        }
    }

    /// The full scan, and every message where the model has it.
    async fn compare(&self) {
        let scan = self.ground.assert_sound(&self.node).await;
        for (state, count) in State::ALL.into_iter().zip(scan.by_state) {
            let expected = self.model.of(state);
            assert_eq!(count, u64::try_from(expected.len()).unwrap(), "{state}");
            if count == 0 {
                continue;
            }
            let page =
                self.node.store.messages.list(&self.node.name, state, 1000, None).await.unwrap();
            for told in &page.messages {
                self.model.messages[&told.id].assert_is(told);
            }
            let ids: Vec<_> = page.messages.into_iter().map(|told| told.id).collect();
            if state == State::Ready {
                assert_eq!(ids, self.model.ready_in_order());
            } else {
                assert_eq!(
                    ids.into_iter().collect::<BTreeSet<_>>(),
                    expected.into_iter().collect()
                );
            }
        }
    }

    /// Takes the times of a message from the store, which set them; they must be what was wished.
    async fn learn_times(&mut self, id: &MessageId, due: Option<Moment>, expires: Option<Moment>) {
        let told = self.node.get(id).await;
        let now_ms = self.ground.now_ms().await;
        let near = |told_ms: u64, wished_ms: u64| {
            assert!(told_ms <= now_ms + wished_ms && told_ms + 10_000 > now_ms + wished_ms);
            told_ms
        };
        let known = self.model.known(id);
        if let Some(due) = due {
            known.due_ms = near(told.due_at_ms, due.ms(HOUR_MS));
        }
        if let Some(expires) = expires {
            known.expires_ms = near(told.expires_at_ms.unwrap(), expires.ms(2 * HOUR_MS));
        }
    }

    async fn schedule(
        &mut self,
        due: Moment,
        expires: Option<Moment>,
        priority: u8,
        key: Option<u8>,
        body: u8,
    ) {
        let payload = BODIES[usize::from(body)].to_owned();
        let mut sent = message(&payload).due(due.due()).priority(priority);
        sent.expires = expires.map(Moment::expiry);
        if let Some(key) = key {
            sent = sent.key(&format!("key {key}"));
        }
        let answer = self.node.try_send(sent).await;
        if let Some((first, first_body)) = key.and_then(|key| self.model.keys.get(&key)) {
            match answer {
                Ok(accepted) => {
                    assert_eq!((&accepted.id, accepted.duplicate), (first, true));
                    assert_eq!(body, *first_body);
                    if let Some(known) = self.model.messages.get(first) {
                        assert_eq!(accepted.due_at_ms, known.due_ms);
                    }
                }
                Err(NotAccepted::Mismatch(id)) => {
                    assert_eq!((&id, body == *first_body), (first, false));
                }
                Err(error @ (NotAccepted::Store(_) | NotAccepted::Backlog(_))) => panic!("{error}"),
            }
            return;
        }
        let accepted = answer.unwrap();
        let id = accepted.id;
        assert!(!accepted.duplicate);
        let known = Known {
            state: State::Scheduled,
            priority,
            due_ms: accepted.due_at_ms,
            expires_ms: 0,
            attempts: 0,
            throttles: 0,
            holds: 0,
            rescues: 0,
            tokens: Vec::new(),
            token: None,
            previous: None,
            is_hasty: false,
            is_alone: false,
            payload,
        };
        self.model.messages.insert(id.clone(), known);
        self.model.ids.push(id.clone());
        if let Some(key) = key {
            self.model.keys.insert(key, (id.clone(), body));
        }
        self.learn_times(&id, Some(due), expires).await;
        if due == Moment::Now {
            self.model.append(&id);
        }
    }

    async fn promote(&mut self) {
        let now_ms = self.ground.now_ms().await;
        let mut due = self.model.of(State::Scheduled);
        due.retain(|id| self.model.messages[id].due_ms <= now_ms);
        due.sort_by_key(|id| (self.model.messages[id].due_ms, id.ulid));

        assert_eq!(self.node.promote().await, u64::try_from(due.len()).unwrap());

        for id in due {
            self.model.append(&id);
        }
    }

    /// What a claim should take, what it should find expired, and which gate it should meet.
    fn foresee(
        &self,
        most: usize,
        now_ms: u64,
    ) -> (Vec<MessageId>, Vec<MessageId>, Vec<ClaimStatus>) {
        if self.model.is_paused {
            return (Vec::new(), Vec::new(), vec![ClaimStatus::Held(Gate::Pause)]);
        }
        if self.model.is_shut {
            return (Vec::new(), Vec::new(), vec![ClaimStatus::Held(Gate::Throttled)]);
        }
        let leased = self.model.of(State::Leased);
        let is_suspect_out = leased.len() == 1 && self.model.messages[&leased[0]].is_alone;
        if is_suspect_out {
            // Stale entries are the scripts' affair: without them it is empty.
            return (
                Vec::new(),
                Vec::new(),
                vec![ClaimStatus::Held(Gate::Concurrency), ClaimStatus::Empty],
            );
        }
        let (mut taken, mut lapsed) = (Vec::new(), Vec::new());
        for id in self.model.ready_in_order() {
            let known = &self.model.messages[&id];
            if taken.len() >= most {
                break;
            }
            if known.expired_by(now_ms) {
                lapsed.push(id);
            } else if known.rescues < 2 {
                taken.push(id);
            } else if taken.is_empty() && leased.is_empty() {
                return (vec![id], lapsed, vec![ClaimStatus::Taken]);
            } else if taken.is_empty() {
                return (taken, lapsed, vec![ClaimStatus::Held(Gate::Concurrency)]);
            } else {
                break;
            }
        }
        let statuses = match (taken.is_empty(), lapsed.is_empty()) {
            (false, _) => vec![ClaimStatus::Taken],
            (true, false) => vec![ClaimStatus::Stale],
            (true, true) => vec![ClaimStatus::Stale, ClaimStatus::Empty],
        };
        (taken, lapsed, statuses)
    }

    async fn claim(&mut self, most: usize, lasts: bool) {
        let (taken, lapsed, statuses) = self.foresee(most, self.ground.now_ms().await);
        let node = if lasts { &self.node } else { &self.hasty };

        let reply = node.claim(ClaimWish { messages_max: most, ..WISH }).await;

        assert!(statuses.contains(&reply.status), "{:?}, expected {statuses:?}", reply.status);
        let claimed: Vec<_> = reply.messages.iter().map(|c| node.id(&c.lease)).collect();
        assert_eq!(claimed, taken);
        for id in lapsed {
            self.model.turn(&id, State::Expired);
        }
        for (id, claimed) in taken.iter().zip(&reply.messages) {
            self.claimed(id, claimed, lasts);
        }
    }

    fn claimed(&mut self, id: &MessageId, claimed: &Claimed, lasts: bool) {
        self.model.turn(id, State::Leased);
        let known = self.model.known(id);
        known.attempts += 1;
        let told = (claimed.attempt, claimed.rescues, claimed.throttles, claimed.due_ms);
        assert_eq!(told, (known.attempts, known.rescues, known.throttles, known.due_ms));
        assert_eq!(claimed.expires_ms.unwrap_or(0), known.expires_ms);
        assert_eq!(claimed.payload, known.payload.as_bytes());
        assert!(!known.tokens.contains(&claimed.lease.token), "every claim has a new token");
        known.previous = known.token.take().or(known.previous.take());
        known.token = Some(claimed.lease.token.clone());
        known.tokens.push(claimed.lease.token.clone());
        known.is_hasty = !lasts;
        known.is_alone = known.rescues >= 2;
    }

    async fn settle(&mut self, verb: Verb, which: &[(usize, usize)], soon: bool) {
        let mut leases = Vec::new();
        for (which, token) in which {
            let Some(id) = self.model.pick_touched(*which) else { return };
            let tokens = self.model.messages.get(&id).map_or(&[][..], |known| &known.tokens);
            // The newest first, which is the right one more often than not.
            let token = tokens.iter().rev().nth(*token).map_or(NOBODYS, String::as_str);
            leases.push(Lease { ulid: id.ulid, shard: 0, token: token.to_owned() });
        }
        let verdicts = if verb == Verb::Retry {
            let delay_ms = if soon { SOON_MS } else { 0 };
            let end = |lease| ended(lease, "retry", Settlement::Retry { delay_ms });
            self.node.settle_as(&leases.iter().map(end).collect::<Vec<_>>()).await
        } else {
            self.node.settle(verb, &leases).await
        };
        let is_backwards = matches!(verb, Verb::Release | Verb::Defer);
        let mut told: Vec<_> = leases.iter().zip(verdicts).collect();
        if is_backwards {
            told.reverse();
        }
        for (lease, verdict) in told {
            let id = self.node.id(lease);
            let Some(known) = self.model.messages.get(&id) else {
                assert_eq!(verdict, Verdict::Gone);
                continue;
            };
            let expected = known.verdict(verb, &lease.token);
            // Where nobody ever had a token, none can be stale.
            let never = known.tokens.is_empty() && verdict == Verdict::Gone;
            assert!(verdict == expected || never, "{verb:?} {verdict:?}, expected {expected:?}");
            if matches!(verdict, Verdict::Ok | Verdict::Late) {
                self.has_settled(verb, &id, lease, soon).await;
            }
        }
    }

    async fn has_settled(&mut self, verb: Verb, id: &MessageId, lease: &Lease, soon: bool) {
        match verb {
            Verb::Ack => {
                self.model.turn(id, State::Delivered);
                self.model.known(id).token = Some(lease.token.clone());
            }
            Verb::Retry if soon => {
                self.model.turn(id, State::Scheduled);
                self.learn_times(id, Some(Moment::Soon), None).await;
            }
            Verb::Retry => {
                self.model.append(id);
                self.learn_times(id, Some(Moment::Now), None).await;
            }
            Verb::Release | Verb::Defer => {
                self.model.prepend(id);
                self.model.known(id).attempts -= 1;
                self.model.known(id).holds += u32::from(verb == Verb::Defer);
            }
            Verb::Bury => self.model.turn(id, State::Dead),
            Verb::Park => self.model.turn(id, State::Uncertain),
            Verb::Renew => self.model.known(id).is_hasty = false,
            other => panic!("{other:?} settles nothing"),
        }
    }

    async fn throttle(&mut self, which: usize) {
        let leased = self.model.of(State::Leased);
        if leased.is_empty() {
            return;
        }
        let id = &leased[which % leased.len()];
        let token = self.model.known(id).token.clone().expect("leased");
        let lease = Lease { ulid: id.ulid, shard: 0, token };
        let throttle = Settlement::Throttle { gate_ms: Some(HOUR_MS) };
        let verdicts = self.node.settle_as(&[ended(&lease, "throttled", throttle)]).await;
        assert_eq!(verdicts, [Verdict::Ok]);
        self.model.prepend(id);
        self.model.known(id).attempts -= 1;
        self.model.known(id).throttles += 1;
        self.model.is_shut = true;
    }

    /// The messages of an index in its order, as they stand there.
    async fn in_order_of(&self, index: &str) -> Vec<MessageId> {
        let mut range = redis::cmd("ZRANGE");
        let range = range.arg(self.ground.key(index)).arg(0).arg(-1);
        let ulids: Vec<String> = self.ground.raw(range).await;
        let id = |ulid: String| MessageId {
            queue: self.node.name.clone(),
            ulid: ulid::Ulid::from_string(&ulid).expect("a ULID"),
        };
        ulids.into_iter().map(id).collect()
    }

    async fn reap(&mut self) {
        let mut lost = self.in_order_of("leased").await;
        lost.retain(|id| self.model.messages[id].is_hasty);

        let found =
            self.node.store.messages.reap(&self.node.queue, self.node.shard()).await.unwrap();

        let all = usize::try_from(found.reaped + found.parked + found.poisoned).unwrap();
        assert_eq!((all, found.parked), (lost.len(), 0));
        for id in lost.iter().rev() {
            let known = self.model.known(id);
            known.previous = known.token.take();
            let is_poison = known.rescues >= 2 && known.is_alone;
            known.rescues += 1;
            if is_poison {
                self.model.turn(id, State::Dead);
            } else {
                self.model.prepend(id);
            }
        }
    }

    async fn expire(&mut self) {
        let now_ms = self.ground.now_ms().await;
        let all = self.model.messages.iter();
        let over: Vec<_> = all
            .filter(|(_, known)| known.waits() && known.expired_by(now_ms))
            .map(|(id, _)| id.clone())
            .collect();

        let swept =
            self.node.store.messages.expire(&self.node.queue, self.node.shard()).await.unwrap();

        assert_eq!(swept.moved, u64::try_from(over.len()).unwrap());
        for id in over {
            self.model.turn(&id, State::Expired);
        }
    }

    async fn cancel(&mut self, which: usize) {
        let Some(id) = self.model.pick(which) else { return };
        let expected = match self.model.messages.get(&id).map(|known| known.state) {
            None => Changed::NotFound,
            Some(State::Scheduled | State::Ready | State::Uncertain) => Changed::Done,
            Some(State::Cancelled) => Changed::Already,
            Some(state) => Changed::WrongState(state),
        };
        assert_eq!(self.node.store.messages.cancel(&id).await.unwrap(), expected);
        if expected == Changed::Done {
            self.model.turn(&id, State::Cancelled);
        }
    }

    /// What a reschedule should come to; and, where it moves the message, whether to ready.
    fn foresee_edit(&self, id: &MessageId, edit: &Wishes, now_ms: u64) -> (Changed, Option<bool>) {
        let Some(known) = self.model.messages.get(id) else { return (Changed::NotFound, None) };
        let only_payload = edit.due.is_none() && edit.expires.is_none() && edit.priority.is_none();
        let is_editable = only_payload && matches!(known.state, State::Dead | State::Uncertain);
        let is_sent_as_it_is = known.state == State::Ready && edit.payload;
        if (!known.waits() && !is_editable) || is_sent_as_it_is {
            return (Changed::WrongState(known.state), None);
        }
        let due_ms = edit.due.map_or(known.due_ms, |due| now_ms + due.ms(HOUR_MS));
        let expires_ms = edit.expires.map_or(known.expires_ms, |expires| {
            expires.map_or(0, |expires| now_ms + expires.ms(2 * HOUR_MS))
        });
        let new_times = edit.due.is_some() || edit.expires.is_some();
        if new_times && expires_ms > 0 && expires_ms <= due_ms {
            return (Changed::ExpiresBeforeDue, None);
        }
        let is_due = due_ms <= now_ms;
        let band = edit.priority.map_or(known.band(), |priority| usize::from(priority) * 3 / 10);
        let keeps_place = known.state == State::Ready && is_due && band == known.band();
        (Changed::Done, (!only_payload && !keeps_place).then_some(is_due))
    }

    async fn reschedule(
        &mut self,
        which: usize,
        due: Option<Moment>,
        expires: Option<Option<Moment>>,
        priority: Option<u8>,
        payload: bool,
    ) {
        let Some(id) = self.model.pick(which) else { return };
        let wishes = Wishes { due, expires, priority, payload };
        let now_ms = self.ground.now_ms().await;
        let (expected, moves) = self.foresee_edit(&id, &wishes, now_ms);

        assert_eq!(
            self.node.store.messages.reschedule(&id, &wishes.edit()).await.unwrap(),
            expected
        );

        if expected != Changed::Done {
            return;
        }
        let known = self.model.known(&id);
        known.priority = priority.unwrap_or(known.priority);
        if payload {
            known.payload = "edited".to_owned();
        }
        if expires == Some(None) {
            known.expires_ms = 0;
        }
        match moves {
            Some(true) => self.model.append(&id),
            Some(false) => self.model.turn(&id, State::Scheduled),
            None => {}
        }
        self.learn_times(&id, due.filter(|_| moves.is_some()), expires.flatten()).await;
    }

    async fn requeued(&mut self, id: &MessageId, now_ms: u64) {
        let known = self.model.known(id);
        (known.attempts, known.throttles, known.holds, known.rescues) = (0, 0, 0, 0);
        (known.token, known.previous, known.is_alone) = (None, None, false);
        if known.expired_by(now_ms) {
            known.expires_ms = 0;
        }
        self.model.append(id);
        self.learn_times(id, Some(Moment::Now), None).await;
    }

    async fn requeue(&mut self, which: usize) {
        let Some(id) = self.model.pick(which) else { return };
        let now_ms = self.ground.now_ms().await;
        let expected = match self.model.messages.get(&id).map(|known| known.state) {
            None => Changed::NotFound,
            Some(State::Dead | State::Uncertain | State::Expired | State::Cancelled) => {
                Changed::Done
            }
            Some(state) => Changed::WrongState(state),
        };
        assert_eq!(self.node.store.messages.requeue(&id).await.unwrap(), expected);
        if expected == Changed::Done {
            self.requeued(&id, now_ms).await;
        }
    }

    async fn requeue_all(&mut self, state: State) {
        let ids = self.in_order_of(state.as_str()).await;
        let now_ms = self.ground.now_ms().await;
        let (count, more) =
            self.node.store.messages.requeue_all(&self.node.name, state, 1000).await.unwrap();
        assert_eq!((usize::try_from(count).unwrap(), more), (ids.len(), false));
        for id in ids {
            self.requeued(&id, now_ms).await;
        }
    }

    async fn resolve(&mut self, which: usize, decision: Decision) {
        let uncertain = self.model.of(State::Uncertain);
        let among = if uncertain.is_empty() { &self.model.ids } else { &uncertain };
        let Some(id) = among.get(which % among.len().max(1)).cloned() else { return };
        let expected = match self.model.messages.get(&id).map(|known| known.state) {
            None => Changed::NotFound,
            Some(State::Uncertain) => Changed::Done,
            Some(state) => Changed::WrongState(state),
        };
        let told = self.node.store.messages.resolve(&id, decision, Some("decided")).await.unwrap();
        assert_eq!(told, expected);
        if expected != Changed::Done {
            return;
        }
        match decision {
            Decision::Delivered => self.model.turn(&id, State::Delivered),
            Decision::Dead => self.model.turn(&id, State::Dead),
            Decision::Resend => {
                self.model.append(&id);
                self.learn_times(&id, Some(Moment::Now), None).await;
            }
        }
    }

    async fn purge(&mut self, state: State) {
        let ids = self.model.of(state);
        let (count, more) =
            self.node.store.messages.purge(&self.node.name, state, u64::MAX).await.unwrap();
        assert_eq!((usize::try_from(count).unwrap(), more), (ids.len(), false));
        for id in ids {
            if state.is_final() {
                self.model.forget(&id);
            } else {
                self.model.turn(&id, State::Cancelled);
            }
        }
    }
}

/// What a reschedule asks for.
struct Wishes {
    due: Option<Moment>,
    expires: Option<Option<Moment>>,
    priority: Option<u8>,
    payload: bool,
}

impl Wishes {
    fn edit(&self) -> Edit {
        Edit {
            due: self.due.map(Moment::due),
            priority: self.priority,
            expires: self.expires.map(|expires| expires.map(Moment::expiry)),
            payload: self.payload.then(|| Bytes::from_static(b"edited")),
        }
    }
}
