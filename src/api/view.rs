//! The message as callers see it; its shape is `domain::view`'s, which callbacks share.

pub(super) use crate::domain::view::{
    AttemptView, BodyView, MessageView, Moment, Pairs, PayloadView, RetryView,
};
