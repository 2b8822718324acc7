//! Where the values of a tree come from, before they are read.
//!
//! Owns the walk. What is done with it, see `domain::policy::Origins`.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::reader::origin_of;
use super::sources::Layer;
use crate::domain::policy::Origins;

/// Where each value of a tree comes from, by its key. What is built in counts as not set.
pub(super) fn origins_of(tree: &Map<String, Value>) -> Origins {
    let mut found = BTreeMap::new();
    for (key, value) in tree {
        collect(key, value, &mut found);
    }
    Origins::new(found)
}

fn collect(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match &value.kind {
        ValueKind::Table(entries) => {
            for (key, value) in entries {
                collect(&format!("{path}.{key}"), value, found);
            }
        }
        ValueKind::Array(items) => {
            for (n, value) in items.iter().enumerate() {
                collect(&format!("{path}[{n}]"), value, found);
            }
        }
        _ => {
            let origin = origin_of(value).filter(|origin| Layer::of(origin) != Layer::BuiltIn);
            found.extend(origin.map(|origin| (path.to_owned(), origin)));
        }
    }
}
