//! What operations do to many messages: the way through a state in pages, the verbs for some at once, and the move.

mod act;
mod moving;
pub(in crate::store) mod walk;
