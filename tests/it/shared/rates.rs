//! An account with a rate, over queues and nodes: kept at the downstreams, and used.

use std::time::Duration;

use super::Shared;
use crate::limits::rates::{assert_within, is_calm};
use crate::support::Stalls;
use crate::support::downstream::Request;

const LINE: &str = "[limits.line]\nrate = \"100/s\"";
const LINES: &str = "limits = [\"line\"]";

/// Every window, where this machine is calm: a call that a busy one holds up on its way says nothing of its slot. Slots are checked
/// whatever the load, in `twin`.
fn assert_kept(stalls: &Stalls, requests: &[Request], per_second: f64) {
    if is_calm(stalls) {
        assert_within(stalls, requests, per_second, 1);
    }
    let took = requests.last().expect("a call").arrived - requests[0].arrived;
    let most = per_second * (took.as_secs_f64() + 1.0) + 1.0;
    assert!(requests.len() as f64 <= most, "{} calls within {took:?}", requests.len());
}

/// What a stall may cost beside its length: it may make a reservation lapse.
const RESERVATION: Duration = Duration::from_millis(50);
/// What is left when the queues have no more to send than the rate lets through in this time need not be used.
const LAST: Duration = Duration::from_millis(100);
/// At least so much of a rate is used.
const USED: f64 = 0.99;
const SECOND: Duration = Duration::from_secs(1);

/// All of them together, and each second of them, use the rate but for what stalls of this machine may have cost. A second that begins
/// with a call may end right before the next one.
fn assert_used(stalls: &Stalls, requests: &[Request], per_second: f64) {
    let (first, last) = (requests[0].arrived, requests[requests.len() - 1].arrived);
    let lost = stalls.may_cost(first, last, RESERVATION).as_secs_f64();
    let ideal = (requests.len() - 1) as f64 / per_second;
    let took = (last - first).as_secs_f64();
    let mut least = f64::INFINITY;
    for (at, request) in requests.iter().enumerate() {
        let (from, to) = (request.arrived, request.arrived + SECOND);
        if to + LAST > last {
            break;
        }
        let lost = stalls.may_cost(from, to, RESERVATION).as_secs_f64();
        let within = requests[at..].iter().take_while(|request| request.arrived < to).count();
        least = least.min(within as f64 + lost * per_second);
    }
    println!("{took:.3} s, ideal {ideal:.3} s, stalls {lost:.3} s; least in a second {least:.1}");
    assert!(
        took <= ideal / USED + LAST.as_secs_f64() + lost,
        "{took:.3} s, ideal is {ideal:.3} s, stalls may cost {lost:.3} s"
    );
    assert!(least >= per_second * USED - 1.0, "{least:.1} calls in a second");
}

fn all_requests(scene: &Shared) -> Vec<Request> {
    let mut requests: Vec<Request> =
        scene.queues.iter().flat_map(|(_, downstream)| downstream.requests()).collect();
    requests.sort_by_key(|request| request.arrived);
    requests
}

#[tokio::test]
async fn two_queues_and_three_nodes_share_a_rate() {
    let stalls = Stalls::watch();
    let scene = Shared::new(&["a", "b"], LINE).await;
    let daemon = scene.node(LINES).await;
    let _others = (scene.node(LINES).await, scene.node(LINES).await);

    scene.fill(&daemon, 300, 1).await;

    scene.wait_delivered(&daemon, 600).await;
    let requests = all_requests(&scene);
    assert_kept(&stalls, &requests, 100.0);
    // Both had a backlog until one of them was empty: by then no less than a quarter of it was the other's.
    let first_empty = scene.queues.iter().map(|(_, downstream)| {
        downstream.requests().iter().map(|request| request.arrived).max().expect("a call")
    });
    let first_empty = first_empty.min().expect("a queue");
    for (name, downstream) in &scene.queues {
        let by_then = downstream.requests();
        let by_then = by_then.iter().filter(|request| request.arrived <= first_empty).count();
        assert!(by_then >= 75, "{name} had {by_then}");
    }
    assert_used(&stalls, &requests, 100.0);
}

#[tokio::test]
async fn a_slow_rate_lets_each_queue_go_on() {
    let stalls = Stalls::watch();
    let scene = Shared::new(&["a", "b", "c"], "[limits.line]\nrate = \"10/s\"").await;
    let daemon = scene.node(LINES).await;
    let _other = scene.node(LINES).await;

    scene.fill(&daemon, 100, 1).await;
    tokio::time::sleep(Duration::from_secs(6)).await;

    let requests = all_requests(&scene);
    assert_kept(&stalls, &requests, 10.0);
    for (name, downstream) in &scene.queues {
        let calls = downstream.requests().len();
        assert!(calls >= 5, "{name} had {calls} of {}", requests.len());
    }
}

#[tokio::test]
async fn a_rate_of_its_own_and_a_shared_one_are_both_kept_and_used() {
    let stalls = Stalls::watch();
    let scene = Shared::new(&["a", "b"], LINE).await;
    let lines = "rate = \"40/s\"\nlimits = [\"line\"]";
    let daemon = scene.node(lines).await;

    scene.fill(&daemon, 160, 1).await;

    scene.wait_delivered(&daemon, 320).await;
    for (_, downstream) in &scene.queues {
        let requests = downstream.requests();
        assert_kept(&stalls, &requests, 40.0);
        assert_used(&stalls, &requests, 40.0);
    }
}
