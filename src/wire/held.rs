//! What holds a message, as a word.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::gates::{Gate, HeldGate};

/// A gate that holds a message: a word of [`Gate`], or `limit:` and the name of the limit. A newer daemon may have other
/// words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GateWord(String);

impl GateWord {
    /// The word as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means this gate.
    #[must_use]
    pub fn is(&self, gate: Gate) -> bool {
        // Before limits had names the bare word was all there was.
        self.0 == gate.as_str() || (gate == Gate::Limit && self.limit().is_some())
    }

    /// Which limit holds, if one does.
    #[must_use]
    pub fn limit(&self) -> Option<&str> {
        self.0.strip_prefix(Gate::Limit.as_str())?.strip_prefix(':')
    }
}

impl From<&HeldGate> for GateWord {
    fn from(held: &HeldGate) -> Self {
        Self(held.to_string())
    }
}

impl fmt::Display for GateWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialSchema for GateWord {
    fn schema() -> RefOr<Schema> {
        let words = Gate::ALL.map(|gate| match gate {
            Gate::Limit => format!("{}:.+", gate.as_str()),
            _ => gate.as_str().to_owned(),
        });
        Object::builder()
            .schema_type(Type::String)
            .description(Some(
                "What holds a message back; of a limit its name follows: `limit:brand`",
            ))
            .pattern(Some(format!("^({})$", words.join("|"))))
            .into()
    }
}

impl ToSchema for GateWord {
    fn name() -> Cow<'static, str> {
        "Gate".into()
    }
}
