//! How long a page of messages may be.

/// Messages on a page, unless asked otherwise.
pub(super) const LIMIT_DEFAULT: u32 = 100;
/// Most messages on a page.
pub(super) const LIMIT_MAX: u32 = 1000;
