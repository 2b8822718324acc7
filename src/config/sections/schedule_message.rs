//! What the messages of a schedule carry: payload, content type, headers, labels and group.
//!
//! They stand as they are written: references to secrets are not filled in, since they would be kept and shown
//! with every message.

use bytes::Bytes;

use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Kind, Shown, custom, text};
use crate::domain::headers::{check_content_type, check_header, is_json_type};
use crate::domain::message::{
    HEADERS_MAX, LABEL_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, PayloadKind, check_name,
};

/// Names with their values.
type Pairs = Vec<(String, String)>;

/// The largest payload, in bytes: as a message's by default.
const PAYLOAD_BYTES_MAX: usize = 256 << 10;

pub(in crate::config) fn content_type() -> impl Kind<Value = String> {
    let read =
        |field: &Field<'_>| field.parse(|text| check_content_type(text).map(|()| text.to_owned()));
    custom("a media type", read, |text: &String| text.as_str().into())
}

pub(in crate::config) fn payload(
    field: &Field<'_>,
    content_type: Option<&str>,
) -> Read<(Bytes, PayloadKind)> {
    let value = field.json()?;
    let is_text = content_type.is_some_and(|content_type| !is_json_type(content_type));
    let (bytes, kind) = match &value {
        serde_json::Value::String(text) if is_text => (text.clone(), PayloadKind::Text),
        value => (value.to_string(), PayloadKind::Json),
    };
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(field
            .wrong(format!("found {} bytes, expected at most {PAYLOAD_BYTES_MAX}", bytes.len())));
    }
    Ok((bytes.into(), kind))
}

/// Plain text, as it is written.
fn plain(field: &Field<'_>) -> Read<String> {
    field.raw_text().map(str::to_owned).ok_or_else(|| field.expected("a text in quotes"))
}

/// Pairs that are shown as they are.
pub(in crate::config) fn pairs(
    accepted: &'static str,
    read: fn(&Field<'_>) -> Read<Pairs>,
) -> impl Kind<Value = Pairs> {
    custom(accepted, read, |pairs: &Pairs| Shown::Pairs(pairs.clone()))
}

pub(in crate::config) fn read_headers(field: &Field<'_>) -> Read<Pairs> {
    let mut headers = Pairs::new();
    field.entries(|name, field| {
        let value = plain(field)?;
        check_header(name, &value).map_err(|why| field.wrong(why))?;
        let name = name.to_ascii_lowercase();
        if headers.iter().any(|(known, _)| *known == name) {
            return Err(field.wrong("is given twice, in two spellings; remove one"));
        }
        headers.push((name, value));
        Ok(())
    })?;
    if headers.len() > HEADERS_MAX {
        return Err(field.wrong(format!("found {}, expected at most {HEADERS_MAX}", headers.len())));
    }
    headers.sort();
    Ok(headers)
}

pub(in crate::config) fn read_labels(field: &Field<'_>) -> Read<Pairs> {
    let labels = field.entries(|name, field| {
        let value = plain(field)?;
        check_name(name, LABEL_BYTES_MAX)
            .map_err(|why| field.wrong(format!("the label's name: {why}")))?;
        if value.len() > NAME_BYTES_MAX {
            let found = value.len();
            return Err(
                field.wrong(format!("found {found} bytes, expected up to {NAME_BYTES_MAX}"))
            );
        }
        Ok((name.to_owned(), value))
    })?;
    if labels.len() > LABELS_MAX {
        return Err(field.wrong(format!("found {}, expected at most {LABELS_MAX}", labels.len())));
    }
    Ok(labels)
}

pub(in crate::config) fn group() -> impl Kind<Value = String> {
    let read = |field: &Field<'_>| {
        let group = text("a text").read(field)?;
        check_name(&group, NAME_BYTES_MAX).map_err(|why| field.wrong(why))?;
        Ok(group)
    };
    custom("a text", read, |group: &String| group.as_str().into())
}
