//! Where a message stands, as a word.

use super::{Vocabulary, Word};
use crate::domain::state::State;

/// Where a message stands.
pub type StateWord = Word<State>;

impl Vocabulary for State {
    const NAME: &'static str = "State";
    const DESCRIPTION: &'static str = "Where a message stands; the last four are final";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}
