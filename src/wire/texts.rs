//! Texts within bounds: the schemas of fields that hold one.

use serde_json::json;
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, Type};

use super::schema::{schema_of, string_of};
use crate::domain::headers::HEADER_VALUE_BYTES_MAX;
use crate::domain::id::QUEUE_NAME_BYTES_MAX;
use crate::domain::message::{
    HEADERS_MAX, LABEL_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX,
};

/// What follows the name of a queue in the name of its queue of callbacks.
const CALLBACKS: &str = "~callbacks";
/// Longest text of a message's id.
const MESSAGE_ID_CHARS_MAX: usize = 100;
/// Characters of a name of HTTP, such as that of a header.
const TOKEN: &str = "[A-Za-z0-9!#$%&'*+.^_`|~-]+";
/// Without control characters.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// The name of a queue that is configured, of a topic or of a schedule.
#[derive(Debug)]
pub struct Name;

/// The name of any queue, queues of callbacks too.
#[derive(Debug)]
pub struct QueueNameText;

/// The id of a message.
#[derive(Debug)]
pub struct MessageIdText;

/// A producer's word, such as a group or a key.
#[derive(Debug)]
pub struct Text;

/// A sentence for colleagues.
#[derive(Debug)]
pub struct Reason;

/// A media type.
#[derive(Debug)]
pub struct ContentType;

/// The headers of a message.
#[derive(Debug)]
pub struct Headers;

/// The labels of a message.
#[derive(Debug)]
pub struct Labels;

schema_of!(
    Name,
    "Name",
    string_of(0..=QUEUE_NAME_BYTES_MAX)
        .description(Some("Without two _ in a row"))
        .pattern(Some("^[a-z0-9](?:_?[a-z0-9-])*_?$"))
        .examples([json!("sms")])
);
schema_of!(
    QueueNameText,
    "QueueName",
    string_of(0..=QUEUE_NAME_BYTES_MAX + CALLBACKS.len())
        .description(Some("Without two _ in a row; a queue of callbacks has ~callbacks at its end"))
        .pattern(Some("^[a-z0-9](?:_?[a-z0-9-])*_?(?:~callbacks)?$"))
        .examples([json!("sms")])
);
schema_of!(
    MessageIdText,
    "MessageId",
    string_of(0..=MESSAGE_ID_CHARS_MAX)
        .description(Some("`<queue>_<ULID>`"))
        .pattern(Some("^[a-z0-9](?:_?[a-z0-9-])*_?(?:~callbacks)?_[0-7][0-9A-HJKMNP-TV-Z]{25}$"))
);
schema_of!(
    Text,
    "Text",
    string_of(1..=NAME_BYTES_MAX)
        .description(Some("1 to 256 bytes of UTF-8 without control characters"))
        .pattern(Some(PLAIN))
);
schema_of!(
    Reason,
    "Reason",
    string_of(0..=REASON_BYTES_MAX).description(Some("Why, for the colleagues"))
);
schema_of!(
    ContentType,
    "ContentType",
    string_of(0..=NAME_BYTES_MAX)
        .description(Some("A media type"))
        .pattern(Some(format!("^{TOKEN}/{TOKEN} *(?:;[ -~]*)?$")))
        .examples([json!("text/plain")])
);
schema_of!(
    Headers,
    "Headers",
    pairs(
        HEADERS_MAX,
        string_of(1..=NAME_BYTES_MAX).pattern(Some(format!("^{TOKEN}$"))),
        string_of(0..=HEADER_VALUE_BYTES_MAX)
            .pattern(Some(r"^[^\u0000-\u0008\u000a-\u001f\u007f]*$")),
    )
    .description(Some(
        "For the downstream; none that Tidegate or HTTP itself sets, each name once"
    ))
);
schema_of!(
    Labels,
    "Labels",
    pairs(
        LABELS_MAX,
        string_of(1..=LABEL_BYTES_MAX).pattern(Some(PLAIN)),
        string_of(0..=NAME_BYTES_MAX),
    )
    .description(Some("The producer's own words; names up to 64 bytes, values up to 256"))
);

/// Names of the sender's own, each with a text.
fn pairs(most: usize, names: ObjectBuilder, values: ObjectBuilder) -> ObjectBuilder {
    Object::builder()
        .schema_type(Type::Object)
        .property_names(Some(names.build()))
        .additional_properties(Some(AdditionalProperties::RefOr(values.into())))
        .max_properties(Some(most))
}
