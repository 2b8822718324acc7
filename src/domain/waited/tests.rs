//! The parts of a wait, case by case.

use super::*;

fn attempt(started_at_ms: u64, ended_at_ms: u64, wait: AttemptWait) -> Attempt {
    Attempt {
        attempt: 1,
        started_at_ms,
        ended_at_ms,
        outcome: "retry".to_owned(),
        status_code: None,
        error: None,
        response: None,
        wait,
    }
}

fn life<'a>(
    (created_ms, due_ms, final_ms): (u64, u64, u64),
    state: State,
    attempts: &'a [Attempt],
    holds: &'a [QueueHold],
) -> Life<'a> {
    Life { created_ms, final_ms, due_ms, state, attempts, holds }
}

/// As `word=ms`, in their order; the parts have to add up.
fn told(life: &Life<'_>) -> String {
    let Some(Waited(parts)) = life.waited() else { return "null".to_owned() };
    let sum_ms: u64 = parts.iter().map(|(_, ms)| ms).sum();
    assert_eq!(sum_ms, life.final_ms - life.created_ms);
    let words: Vec<String> = parts.iter().map(|(what, ms)| format!("{what}={ms}")).collect();
    words.join(" ")
}

#[test]
fn a_message_that_was_final_at_once_did_not_wait() {
    let tries = [attempt(10, 900, AttemptWait::default())];
    assert_eq!(told(&life((0, 0, 999), State::Delivered, &tries, &[])), "null");
    assert_eq!(told(&life((0, 0, 1000), State::Delivered, &tries, &[])), "turn=10 sending=990");
}

#[test]
fn a_wait_is_told_apart_by_what_held() {
    // Due at 10 s; paused 5 to 20 s, closed 15 to 40 s, shut 50 to 60 s, sent at 100 s.
    let holds = read_holds("p5000+15000 w15000+25000 g50000+10000");
    let stood = vec![(WaitedFor::Limit("daily".parse().unwrap()), 30_000)];
    let wait = AttemptWait { stood, ..AttemptWait::default() };
    let tries = [attempt(100_000, 101_000, wait)];
    assert_eq!(
        told(&life((0, 10_000, 101_500), State::Delivered, &tries, &holds)),
        "due=10000 window=20000 pause=10000 throttled=10000 limit:daily=30000 turn=20000 sending=1500"
    );
}

#[test]
fn attempts_before_the_last_count_and_so_do_the_waits_between_them() {
    let late = AttemptWait { late_ms: 2000, ..AttemptWait::default() };
    let tries = [attempt(5000, 6000, late), attempt(20_000, 21_000, AttemptWait::default())];
    assert_eq!(
        told(&life((0, 15_000, 21_000), State::Dead, &tries, &read_holds("w16000+1000"))),
        "due=3000 retry=9000 window=1000 turn=6000 sending=2000"
    );
}

#[test]
fn what_ended_without_another_attempt_waited_for_it() {
    let first = attempt(1000, 2000, AttemptWait { late_ms: 1000, ..AttemptWait::default() });
    let expired = life((0, 8000, 12_000), State::Expired, std::slice::from_ref(&first), &[]);
    assert_eq!(told(&expired), "retry=6000 turn=5000 sending=1000");
    let cancelled = life((0, 8000, 5000), State::Cancelled, &[], &[]);
    assert_eq!(told(&cancelled), "due=5000");
    let paused = read_holds("p0+5000");
    assert_eq!(told(&life((0, 0, 5000), State::Cancelled, &[], &paused)), "pause=5000");
}

#[test]
fn a_decision_is_waited_for_as_a_part_of_the_sending() {
    let mut doubtful = attempt(100, 1000, AttemptWait::default());
    doubtful.outcome = "unknown".to_owned();
    let cancelled = life((0, 100, 9000), State::Cancelled, std::slice::from_ref(&doubtful), &[]);
    assert_eq!(told(&cancelled), "due=100 sending=8900");
    let sent_again = life((0, 5000, 9000), State::Expired, std::slice::from_ref(&doubtful), &[]);
    assert_eq!(told(&sent_again), "due=100 retry=4000 turn=4000 sending=900");
}

#[test]
fn hours_are_told_apart_from_the_due_time_that_was_asked_for() {
    let wait = AttemptWait { hours_ms: 6000, ..AttemptWait::default() };
    let tries = [attempt(8000, 9000, wait)];
    let reached = life((0, 8000, 9000), State::Delivered, &tries, &[]);
    assert_eq!(told(&reached), "due=2000 hours=6000 sending=1000");
}

#[test]
fn holds_that_were_put_together_count_by_their_share() {
    let tries = [attempt(10_000, 10_000, AttemptWait::default())];
    let holds = read_holds("g0+20000/5000 x1+2 g1 g1+x p");
    assert_eq!(holds.len(), 1, "what cannot be read is left out");
    let sent = life((0, 0, 10_000), State::Delivered, &tries, &holds);
    assert_eq!(told(&sent), "throttled=2500 turn=7500");
}

#[test]
fn clocks_that_disagree_move_no_part_out_of_its_life() {
    let tries =
        [attempt(50, 20, AttemptWait::default()), attempt(9000, 99_000, AttemptWait::default())];
    let holds = read_holds("p90000+1000 w0+18446744073709551615");
    assert_eq!(
        told(&life((5000, 99_999_999, 8000), State::Delivered, &tries, &holds)),
        "retry=3000"
    );
}

#[test]
fn every_word_reads_back() {
    for word in [
        "due",
        "retry",
        "window",
        "hours",
        "pause",
        "throttled",
        "order",
        "limit:a_day",
        "turn",
        "sending",
    ] {
        assert_eq!(word.parse::<WaitedFor>().unwrap().to_string(), word);
    }
    assert!("limit:".parse::<WaitedFor>().is_err() && "late".parse::<WaitedFor>().is_err());
}
