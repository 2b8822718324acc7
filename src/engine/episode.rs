//! Trouble that comes again and again: said once when it begins and once when it is over.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// It is over once nothing was wrong for so long: trouble that comes and goes is one episode.
const QUIET: Duration = Duration::from_secs(60);

/// One kind of trouble.
#[derive(Debug, Default)]
pub(super) struct Episode {
    under_way: Mutex<Option<OpenEpisode>>,
}

#[derive(Debug)]
struct OpenEpisode {
    last: Instant,
    count: u64,
}

/// What is to be said now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EpisodeTurn {
    /// It begins.
    Begins,
    /// It is over.
    Ends {
        /// How often it was seen.
        count: u64,
    },
}

impl Episode {
    /// Notes whether something was wrong this time.
    pub(super) fn note(&self, is_wrong: bool, now: Instant) -> Option<EpisodeTurn> {
        let mut under_way = self.under_way.lock();
        match (&mut *under_way, is_wrong) {
            (None, false) => None,
            (None, true) => {
                *under_way = Some(OpenEpisode { last: now, count: 1 });
                Some(EpisodeTurn::Begins)
            }
            (Some(episode), true) => {
                (episode.last, episode.count) = (now, episode.count + 1);
                None
            }
            (Some(episode), false) if now < episode.last + QUIET => None,
            (Some(episode), false) => {
                let count = episode.count;
                *under_way = None;
                Some(EpisodeTurn::Ends { count })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_said_twice_however_often_it_is_seen() {
        let (episode, began) = (Episode::default(), Instant::now());
        let note = |is_wrong, s| episode.note(is_wrong, began + Duration::from_secs(s));
        assert_eq!(note(false, 0), None);
        assert_eq!(note(true, 1), Some(EpisodeTurn::Begins));
        for second in 2..100 {
            assert_eq!(note(second % 2 == 0, second), None, "it comes and goes");
        }
        assert_eq!(note(false, 157), None);
        assert_eq!(note(false, 158), Some(EpisodeTurn::Ends { count: 50 }));
        assert_eq!(note(false, 159), None);
        assert_eq!(note(true, 160), Some(EpisodeTurn::Begins));
    }
}
