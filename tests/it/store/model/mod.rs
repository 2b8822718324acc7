//! The state model: random verbs on a real Redis and on a small model, which must agree.
//!
//! Owns what each verb should do, told a second time and far more simply than the scripts tell it.
//! After every step every message stands in exactly one place, every count is true (see `scan`), and
//! every message is where the model has it. Moments are past, a few milliseconds ahead, or far away;
//! before a step that asks the time, Redis TIME passes whatever was only a few milliseconds ahead.

mod known;
mod world;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tidegate::domain::message::When;
use tidegate::domain::state::State;
use tidegate::store::{Decision, RECORD_VERSION, Verb};
use tokio::runtime::{Builder, Runtime};

use super::node::HOUR_MS;
use world::World;

/// Soon: sure to be ahead when a call is made, and over a few milliseconds later.
const SOON_MS: u64 = 3;

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_scripts_agree_with_the_model(sequential 40..100 => Sut);
}

/// When something is due or expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Now,
    Soon,
    Far,
}

impl Moment {
    const fn ms(self, far_ms: u64) -> u64 {
        match self {
            Self::Now => 0,
            Self::Soon => SOON_MS,
            Self::Far => far_ms,
        }
    }

    /// As a due time.
    const fn due(self) -> When {
        When::After(self.ms(HOUR_MS))
    }

    /// As an expiry: the far one is after every due time.
    const fn expiry(self) -> When {
        When::After(self.ms(2 * HOUR_MS))
    }
}

/// A step. Numbers choose among what there is, whatever that is by then.
#[derive(Debug, Clone)]
enum Step {
    Schedule {
        due: Moment,
        expires: Option<Moment>,
        priority: u8,
        key: Option<u8>,
        body: u8,
    },
    Promote,
    /// By a node whose leases last, or by one whose leases are over at once.
    Claim {
        most: usize,
        lasts: bool,
    },
    /// With one of the tokens that were ever handed out for the message.
    Settle {
        verb: Verb,
        which: Vec<(usize, usize)>,
        soon: bool,
    },
    Throttle {
        which: usize,
    },
    Reap,
    Expire,
    Cancel(usize),
    Reschedule {
        which: usize,
        due: Option<Moment>,
        expires: Option<Option<Moment>>,
        priority: Option<u8>,
        payload: bool,
    },
    Requeue(usize),
    RequeueAll(State),
    Resolve {
        which: usize,
        decision: Decision,
    },
    Purge(State),
    /// A prune that finds nothing too old or too many: it weighs what is kept, or stops weighing.
    Weigh(bool),
    Pause,
    Resume,
    /// From now on a node writes the newest version; what is there stays as it is.
    Raise,
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![3 => Just(Moment::Now), 2 => Just(Moment::Soon), 1 => Just(Moment::Far)]
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    let verb = prop::sample::select(vec![
        Verb::Ack,
        Verb::Retry,
        Verb::Release,
        Verb::Defer,
        Verb::Bury,
        Verb::Park,
        Verb::Renew,
    ]);
    let pairs = prop::collection::vec((which.clone(), 0..3_usize), 1..5);
    let finals =
        prop::sample::select(vec![State::Dead, State::Uncertain, State::Expired, State::Cancelled]);
    let purged = prop::sample::select(vec![
        State::Scheduled,
        State::Ready,
        State::Delivered,
        State::Dead,
        State::Expired,
        State::Cancelled,
    ]);
    let decision =
        prop::sample::select(vec![Decision::Delivered, Decision::Resend, Decision::Dead]);
    prop_oneof![
        7 => (moment(), prop::option::weighted(0.3, moment()), 0..10_u8, prop::option::weighted(0.3, 0..4_u8), 0..2_u8)
            .prop_map(|(due, expires, priority, key, body)| Step::Schedule { due, expires, priority, key, body }),
        4 => Just(Step::Promote),
        8 => (1..5_usize, prop::bool::weighted(0.4)).prop_map(|(most, lasts)| Step::Claim { most, lasts }),
        12 => (verb, pairs, any::<bool>()).prop_map(|(verb, which, soon)| Step::Settle { verb, which, soon }),
        1 => which.clone().prop_map(|which| Step::Throttle { which }),
        6 => Just(Step::Reap),
        2 => Just(Step::Expire),
        2 => which.clone().prop_map(Step::Cancel),
        6 => (which.clone(), prop::option::of(moment()), prop::option::of(prop::option::of(moment())), prop::option::of(0..10_u8), any::<bool>())
            .prop_map(|(which, due, expires, priority, payload)| Step::Reschedule { which, due, expires, priority, payload }),
        3 => which.clone().prop_map(Step::Requeue),
        1 => finals.prop_map(Step::RequeueAll),
        3 => (which, decision).prop_map(|(which, decision)| Step::Resolve { which, decision }),
        1 => purged.prop_map(Step::Purge),
        2 => prop::bool::weighted(0.8).prop_map(Step::Weigh),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Raise),
    ]
}

/// The steps do not depend on what came before: they choose when they are carried out.
struct Steps;

impl ReferenceStateMachine for Steps {
    /// The version of the records at the beginning.
    type State = u8;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<u8> {
        prop::sample::select(vec![RECORD_VERSION - 1, RECORD_VERSION]).boxed()
    }

    fn transitions(_: &u8) -> BoxedStrategy<Step> {
        step().boxed()
    }

    fn apply(version: u8, _: &Step) -> u8 {
        version
    }
}

/// The world, and what drives it.
struct Sut {
    runtime: Runtime,
    world: World,
}

impl StateMachineTest for Sut {
    type SystemUnderTest = Self;
    type Reference = Steps;

    fn init_test(version: &u8) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let world = runtime.block_on(World::of_version(*version));
        Self { runtime, world }
    }

    fn apply(mut sut: Self, _: &u8, step: Step) -> Self {
        sut.runtime.block_on(sut.world.run(step));
        sut
    }
}
