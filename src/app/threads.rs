//! How many threads the daemon works on.

/// Asks for another number than the default; the name that the runtime's library gave it.
pub const THREADS_VARIABLE: &str = "TOKIO_WORKER_THREADS";
/// More than this no machine has any use for.
const THREADS_MAX: usize = 1024;

/// As many as `asked` says, or one for each core but one.
///
/// That one is left to Redis, which works for each message as long as we do: threads that it takes turns with wake
/// one another up all the time and do no more.
///
/// # Errors
/// What is asked for is no number from 1 to 1024.
pub fn threads(asked: Option<&str>, cores: usize) -> Result<usize, String> {
    let Some(asked) = asked else { return Ok(cores.saturating_sub(1).max(1)) };
    let number = asked.parse().ok().filter(|number| (1..=THREADS_MAX).contains(number));
    number.ok_or_else(|| {
        format!(
            "{THREADS_VARIABLE} is {asked:?}; expected a number of threads from 1 to {THREADS_MAX}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::threads;

    #[test]
    fn a_core_is_left_to_redis_unless_a_number_is_asked_for() {
        for (asked, cores, expected) in
            [(None, 0, 1), (None, 1, 1), (None, 2, 1), (None, 8, 7), (Some("3"), 2, 3)]
        {
            assert_eq!(threads(asked, cores), Ok(expected), "{asked:?} of {cores}");
        }
    }

    #[test]
    fn what_is_no_number_of_threads_is_refused() {
        for asked in ["", "0", "-1", "two", "1025", "99999999999999999999"] {
            let error = threads(Some(asked), 2).unwrap_err();
            assert!(
                error.contains("TOKIO_WORKER_THREADS") && error.contains("from 1 to 1024"),
                "{error}"
            );
        }
    }
}
