//! Reading a whole body, bounded in size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::problem::{Code, Problem};
use crate::domain::units::format_size;

/// How long the body of a single request may take to arrive.
pub(super) const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// How long a stream may stand still.
pub(super) const PAUSE_PATIENCE: Duration = Duration::from_secs(30);

/// The body, at most `bytes_max` of it.
///
/// # Errors
/// 413 when it is larger, 408 when it takes too long, 400 when it breaks off.
pub(super) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    read_within(body, bytes_max, Instant::now() + BODY_PATIENCE, None).await
}

/// The same for large bodies: they may take their time, as long as something keeps coming.
///
/// # Errors
/// As [`read`].
pub(super) async fn read_large(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let first = Instant::now() + PAUSE_PATIENCE;
    read_within(body, bytes_max, first, Some(PAUSE_PATIENCE)).await
}

async fn read_within(
    mut body: Body,
    bytes_max: usize,
    mut until: Instant,
    pause: Option<Duration>,
) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large("the body", bytes_max));
    }
    // Most bodies come in one piece, which is then not copied.
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while !body.is_end_stream() {
        let Some(data) = next(&mut body, until).await? else { break };
        if first.len() + whole.len() + data.len() > bytes_max {
            return Err(too_large("the body", bytes_max));
        }
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
        if let Some(pause) = pause {
            until = Instant::now() + pause;
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// The next piece of a body; `None` at its end.
///
/// # Errors
/// 408 when it does not come in time, 400 when the body breaks off.
pub(super) async fn next(body: &mut Body, until: Instant) -> Result<Option<Bytes>, Problem> {
    loop {
        match timeout_at(until, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                // Trailers and empty pieces say nothing.
                Ok(_) | Err(_) => {}
            },
            Ok(Some(Err(error))) => {
                return Err(Problem::fault("", format!("the body broke off: {error}")));
            }
            Err(_) => {
                return Err(Problem::new(
                    Code::RequestTimeout,
                    "the body did not arrive in time; send it faster, or less of it",
                ));
            }
        }
    }
}

/// 413 for `what`, with the limit.
pub(super) fn too_large(what: &str, bytes_max: usize) -> Problem {
    let limit = format_size(bytes_max as u64);
    Problem::too_large(format!("{what} is larger than {limit}"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    /// A byte every so often, `count` of them, and then silence if it never ends.
    fn dripping(every: Duration, count: u32, ends: bool) -> Body {
        let drops = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, Infallible>(Bytes::from_static(b"x"))
        });
        let silence = stream::pending().take(usize::from(!ends));
        Body::from_stream(drops.chain(silence))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_time() {
        let second = Duration::from_secs(1);
        assert_eq!(read(dripping(second, 20, true), 100).await.unwrap(), "x".repeat(20));
        for body in [dripping(second, 40, true), dripping(second, 1, false)] {
            let started = Instant::now();
            let problem = read(body, 100).await.unwrap_err();
            assert_eq!(problem.code(), Code::RequestTimeout);
            assert_eq!(started.elapsed(), BODY_PATIENCE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_may_take_long_but_not_stand_still() {
        let second = Duration::from_secs(1);
        assert_eq!(read_large(dripping(20 * second, 20, true), 100).await.unwrap().len(), 20);
        let problem = read_large(dripping(second, 5, false), 100).await.unwrap_err();
        assert_eq!(problem.code(), Code::RequestTimeout);
    }

    #[tokio::test]
    async fn a_body_has_its_size() {
        let drops = |count| dripping(Duration::ZERO, count, true);
        assert_eq!(read(drops(10), 10).await.unwrap().len(), 10);
        assert_eq!(read(drops(11), 10).await.unwrap_err().code(), Code::TooLarge);
        assert_eq!(read(Body::from("12345"), 4).await.unwrap_err().code(), Code::TooLarge);
        assert_eq!(read(Body::from("12345"), 5).await.unwrap(), "12345");
    }
}
