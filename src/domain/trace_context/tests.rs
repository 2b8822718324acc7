//! Trace contexts as the standard has them, and as callers send them.

use super::*;

const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn parse(text: &str) -> Result<TraceParent, InvalidTraceParent> {
    text.parse()
}

fn state(values: &[&str]) -> Option<String> {
    state_of(values.iter().copied())
}

#[test]
fn the_example_of_the_standard_reads_back() {
    let parent = parse(GOOD).unwrap();
    assert_eq!(parent.to_string(), GOOD);
    assert!(parent.is_sampled());
    assert_eq!(parent.trace()[..3], [0x0a, 0xf7, 0x65]);
    assert_eq!(parent.span()[..2], [0xb7, 0xad]);
    let child = parent.child([0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(child.to_string(), "00-0af7651916cd43dd8448eb211c80319c-0000000000000009-01");
    assert_eq!(parent.child([0; 8]).span(), [0, 0, 0, 0, 0, 0, 0, 1], "zero names no span");
    let unsampled = parse(&format!("{}00", &GOOD[..53])).unwrap();
    assert!(!unsampled.is_sampled());
    assert!(parse(&format!("{}ff", &GOOD[..53])).unwrap().is_sampled(), "other flags are ignored");
}

#[test]
fn what_the_standard_forbids_is_refused() {
    let trace = &GOOD[3..35];
    let span = &GOOD[36..52];
    for bad in [
        String::new(),
        "00".to_owned(),
        GOOD[..54].to_owned(),
        format!("{GOOD}-"),
        format!("{GOOD}-00"),
        format!(" {GOOD}"),
        GOOD.to_uppercase(),
        format!("ff-{trace}-{span}-01"),
        format!("0x-{trace}-{span}-01"),
        format!("00-{}-{span}-01", "0".repeat(32)),
        format!("00-{trace}-{}-01", "0".repeat(16)),
        format!("00_{trace}-{span}-01"),
        format!("00-{trace}-{span}-0g"),
        format!("00-{}-{span}a-01", &trace[..31]),
        format!("01-{trace}-{span}-01x"),
        format!("00-{}é-{span}-01", &trace[..30]),
    ] {
        assert_eq!(parse(&bad), Err(InvalidTraceParent), "{bad}");
    }
}

#[test]
fn a_later_version_is_read_as_far_as_it_is_known() {
    let rest = &GOOD[2..];
    for later in [format!("01{rest}"), format!("cc{rest}-what-the-future-brings")] {
        assert_eq!(parse(&later).unwrap().to_string(), GOOD, "{later}");
        let read = TraceHeaders::read([later.as_str()], []).unwrap();
        assert_eq!(read.parent, later, "it is passed on as it came");
    }
    let long = format!("cc{rest}-{}", "x".repeat(PASSED_BYTES_MAX));
    assert_eq!(TraceHeaders::read([long.as_str()], []).unwrap().parent, GOOD);
}

#[test]
fn a_request_has_one_parent_or_none() {
    assert_eq!(TraceHeaders::read([], ["a=1"]), None);
    assert_eq!(TraceHeaders::read(["nonsense"], ["a=1"]), None);
    assert_eq!(TraceHeaders::read([GOOD, GOOD], []), None);
    let read = TraceHeaders::read([GOOD], ["a=1", "b=2"]).unwrap();
    assert_eq!(read.state.as_deref(), Some("a=1,b=2"));
}

#[test]
fn a_state_is_passed_on_within_its_bounds() {
    assert_eq!(state(&["rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"]).unwrap().len(), 39);
    assert_eq!(state(&["a=1,,b=2", "\t,", "c=3"]).as_deref(), Some("a=1,b=2,c=3"));
    assert_eq!(state(&["fw529a3039@dt=FfhQ,0a/b_c*-=x y"]).unwrap().len(), 31);
    for bad in ["a", "=1", "a=", "A=1", "a=1=2", "a b=1", "@a=1", "a@b@c=1", "a=é", "a=1,a=2"] {
        assert_eq!(state(&[bad]), None, "{bad}");
    }
    assert_eq!(state(&[]), None);
    let many = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    assert!(state(&[&many(32)]).is_some());
    assert_eq!(state(&[&many(33)]), None);
    let long = format!("a=1,b={},c={},d=2", "x".repeat(256), "y".repeat(256));
    assert_eq!(
        state(&[&long]).unwrap().len(),
        3 + 1 + 258 + 1 + 3,
        "a long one goes, from the end"
    );
    let short = (0..32).map(|n| format!("k{n}={}", "v".repeat(30))).collect::<Vec<_>>().join(",");
    let kept = state(&[&short]).unwrap();
    assert!((470..=STATE_BYTES_MAX).contains(&kept.len()) && kept.starts_with("k0="), "{kept}");
}

#[test]
fn a_context_of_the_messages_own_stays() {
    let request = TraceHeaders::read([GOOD], ["a=1"]).unwrap();
    let with = |headers: &[(&str, &str)]| Details {
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..Details::default()
    };
    let mut plain = with(&[("x-a", "1")]);
    request.carry(&mut plain);
    assert_eq!(plain, with(&[("x-a", "1"), (TRACEPARENT, GOOD), (TRACESTATE, "a=1")]));
    assert_eq!(TraceParent::of(&plain.headers).unwrap().to_string(), GOOD);
    assert_eq!(among(&plain.headers).len(), 2);
    let own = with(&[(TRACEPARENT, "mine")]);
    let mut carried = own.clone();
    request.carry(&mut carried);
    assert_eq!(carried, own);
    assert_eq!(TraceParent::of(&own.headers), None);
}

#[test]
fn a_context_for_which_there_is_no_room_is_left_out() {
    let request = TraceHeaders::read([GOOD], []).unwrap();
    let many = |count: usize| (0..count).map(|n| (format!("x-{n}"), String::new())).collect();
    let mut full = Details { headers: many(HEADERS_MAX), ..Details::default() };
    request.carry(&mut full);
    assert_eq!(full.headers.len(), HEADERS_MAX);
    let span = GOOD.parse().unwrap();
    assert!(!name_span(&mut full, span));
    let large = |n: usize| (format!("x-{n}"), "v".repeat(8112));
    let mut large = Details { headers: (0..8).map(large).collect(), ..Details::default() };
    assert!(check_room(&large).is_ok());
    request.carry(&mut large);
    assert_eq!(large.headers.len(), 8);
    large.headers.pop();
    assert!(name_span(&mut large, span));
    assert_eq!(large.headers.len(), 8);
}

#[test]
fn what_the_standard_does_not_allow_is_left_out_of_a_messages_own_headers() {
    let with = |parent: Option<&str>, state: Option<&str>| Details {
        headers: [("x-own", Some("stays")), (TRACEPARENT, parent), (TRACESTATE, state)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect(),
        ..Details::default()
    };
    for (parent, state, left) in [
        (Some(GOOD), Some("shop=1"), with(Some(GOOD), Some("shop=1"))),
        (Some(GOOD), Some("=,=!"), with(Some(GOOD), None)),
        (Some("hello"), Some("shop=1"), with(None, None)),
        (Some("hello"), None, with(None, None)),
        (None, None, with(None, None)),
    ] {
        let mut details = with(parent, state);
        drop_invalid(&mut details);
        assert_eq!(details, left, "{parent:?} {state:?}");
    }
}
