//! What daemons answered, kept for those who hold it against something else: generated clients.
//!
//! Owns the folder: each shape of an answer stands there once. Refuses to know who reads it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::{Value, json};

/// Longer answers are not kept.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Names the folder; without it nothing is kept.
const FOLDER: &str = "TIDEGATE_SEEN";

static SEEN: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    std::fs::create_dir_all(&folder).expect("a folder for what was seen");
    Some(folder)
});

/// What this process has kept.
static KEPT: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// Keeps the answer of an operation, unless one of the same shape is there.
pub(crate) fn keep(operation: &str, status: &str, content_type: &str, body: &Value) {
    let Some(folder) = SEEN.as_ref() else { return };
    let mut hasher = DefaultHasher::new();
    (operation, status, content_type, shape(body)).hash(&mut hasher);
    let number = hasher.finish();
    if !KEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(number) {
        return;
    }
    let seen = json!({
        "operation": operation, "status": status, "content_type": content_type, "body": body,
    });
    let text = format!("{seen:#}\n");
    // A list of a thousand queues says no more than one of ten, and is more than a compiler of clients reads in a test.
    if text.len() > TEXT_BYTES_MAX {
        return;
    }
    let file = folder.join(format!("{operation}-{status}-{number:016x}.json"));
    std::fs::write(&file, text).expect("the file is written");
}

/// Names and kinds without values; a list is the kinds of its items.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) => if number.is_f64() { "number" } else { "integer" }.to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("{:?}", items.iter().map(shape).collect::<BTreeSet<_>>()),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, it)| (name, shape(it))).collect();
            format!("{fields:?}")
        }
    }
}
