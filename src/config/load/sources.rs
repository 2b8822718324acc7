//! Where a configuration comes from, and how its layers are laid over one another.
//!
//! Built-in defaults, then the file, then environment variables, then flags; the `config` crate
//! merges them key by key. Owns the layers, their order and their names in problems; refuses to
//! know any key, but that a daemon without any queue gets a demo.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, Map, Source, Value, ValueKind};

use super::errors::{ConfigErrors, Problem};
use super::toml_lines::TomlLines;

/// The lowest layer, which is also the manual.
pub(in crate::config) const DEFAULTS: &str = include_str!("../../../config/default.toml");

/// What a newcomer gets who names neither a file nor a queue: something to send to.
const DEMO_QUEUE: &str = "[queues.demo.downstream]\ntype = \"null\"\n";

const BUILT_IN: &str = "built-in defaults";
const ENVIRONMENT: &str = "environment variable ";
const FLAG: &str = "flag ";
/// What the environment's settings begin with.
const PREFIX: &str = "TIDEGATE__";

/// Where a configuration comes from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The TOML file (`--config`); none: built-in defaults.
    pub file: Option<PathBuf>,
    /// Settings from flags: key path, value, and the flag's name, for example
    /// `("server.listen", "127.0.0.1:8000", "--listen")`.
    pub overrides: Vec<(String, String, &'static str)>,
    /// The environment: `TIDEGATE__SECTION__KEY`, what `${NAME}` stands for, and where data goes.
    pub environment: BTreeMap<String, String>,
}

/// The environment may hold secrets, and so may a flag's value.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<_> = self.overrides.iter().map(|(_, _, flag)| flag).collect();
        f.debug_struct("Sources").field("file", &self.file).field("flags", &flags).finish()
    }
}

impl Sources {
    /// With the environment of this process.
    #[must_use]
    pub fn of_process(
        file: Option<PathBuf>,
        overrides: Vec<(String, String, &'static str)>,
    ) -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            // What is no Unicode is nobody's secret here; but a setting must not vanish silently.
            let value = match value.into_string() {
                Ok(value) => value,
                Err(value) if name.starts_with(PREFIX) => value.to_string_lossy().into_owned(),
                Err(_) => return None,
            };
            Some((name, value))
        });
        Self { file, overrides, environment: variables.collect() }
    }

    /// The directory that relative paths of secrets start in: the file's own.
    pub(in crate::config) fn base(&self) -> &Path {
        self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""))
    }

    /// What to call the whole: the file, if there is one.
    pub(in crate::config) fn name(&self) -> String {
        self.file
            .as_ref()
            .map_or_else(|| "configuration".to_owned(), |path| path.display().to_string())
    }

    /// All layers merged, and what is wrong with the names of variables.
    pub(in crate::config) fn merge(
        &self,
    ) -> Result<(Map<String, Value>, Vec<Problem>), ConfigErrors> {
        let mut builder = Config::builder().add_source(toml(DEFAULTS, BUILT_IN));
        if self.file.is_none() && !self.environment_names_queues() {
            builder = builder.add_source(toml(DEMO_QUEUE, BUILT_IN));
        }
        if let Some(path) = &self.file {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|e| Problem {
                origin: name.clone(),
                key: String::new(),
                message: format!("cannot be read ({e}); check the path"),
            })?;
            builder = builder.add_source(toml(&text, &name));
        }
        let (variables, problems) = self.environment_layer();
        builder = builder.add_source(variables);
        for (key, value, flag) in &self.overrides {
            let value = Value::new(Some(&format!("{FLAG}{flag}")), value.as_str());
            builder = builder.set_override(key, value).map_err(|e| refused(&e.to_string()))?;
        }
        let merged = builder.build().map_err(|error| match error {
            ConfigError::FileParse { cause, .. } => match cause.downcast::<Problem>() {
                Ok(problem) => ConfigErrors::from(*problem),
                Err(cause) => refused(&cause.to_string()),
            },
            other => refused(&other.to_string()),
        })?;
        match merged.cache.kind {
            ValueKind::Table(table) => Ok((table, problems)),
            _ => Ok((Map::new(), problems)),
        }
    }

    fn environment_names_queues(&self) -> bool {
        let queues = format!("{PREFIX}QUEUES");
        self.settings().any(|(name, _)| name.to_ascii_uppercase().starts_with(&queues))
    }

    /// The environment's settings; an empty variable is one that is not set.
    fn settings(&self) -> impl Iterator<Item = (&String, &String)> {
        self.environment
            .iter()
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
    }

    /// The variables that have a place of their own; the others are problems.
    fn environment_layer(&self) -> (Variables, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut problem = |name: &str, message: String| {
            let origin = format!("{ENVIRONMENT}{name}");
            problems.push(Problem { origin, key: String::new(), message });
        };
        let mut layer: BTreeMap<String, (&String, &String)> = BTreeMap::new();
        for (name, value) in self.settings() {
            let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
            if !key.split('.').all(is_plain) {
                let message =
                    format!("is not a setting; expected a name like {PREFIX}SERVER__LISTEN");
                problem(name, message);
            } else if let Some((other, _)) = layer.get(&key) {
                problem(name, format!("sets the same as {other}; keep one"));
            } else {
                layer.insert(key, (name, value));
            }
        }
        // A name within another: one would overwrite the other, whichever came last.
        let within = |key: &str| {
            let inner = format!("{key}.");
            layer.iter().find(|(other, _)| other.starts_with(&inner)).map(|(_, (name, _))| *name)
        };
        for (key, (name, _)) in &layer {
            if let Some(other) = within(key) {
                problem(name, format!("contradicts {other}, which sets a part of it; keep one"));
            }
        }
        let variables = layer.values().map(|(name, value)| ((*name).clone(), (*value).clone()));
        (Variables(variables.collect()), problems)
    }
}

/// What the crate reads as one key, and not as a path or an index.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn toml(text: &str, name: &str) -> File<config::FileSourceString, TomlLines> {
    File::from_str(text, TomlLines { name: name.to_owned() })
}

fn refused(message: &str) -> ConfigErrors {
    ConfigErrors::from(Problem {
        origin: "configuration".to_owned(),
        key: String::new(),
        message: message.to_owned(),
    })
}

/// The crate's environment source, with each variable's name as the origin of its value.
///
/// Values stay texts: the crate's `try_parsing` would make a number of a password like `0012`.
#[derive(Debug, Clone)]
struct Variables(BTreeMap<String, String>);

impl Source for Variables {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let variables = self.0.clone().into_iter().collect();
        let values = Environment::with_prefix("TIDEGATE")
            .prefix_separator("__")
            .separator("__")
            .source(Some(variables))
            .collect()?;
        let named = values.into_iter().map(|(key, value)| {
            let name = format!("{ENVIRONMENT}{PREFIX}{}", key.replace('.', "__").to_uppercase());
            let value = Value::new(Some(&name), value.kind);
            (key, value)
        });
        Ok(named.collect())
    }
}

/// The layer that an origin names; a higher one wins over a lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) enum Layer {
    BuiltIn,
    File,
    Environment,
    Flag,
}

impl Layer {
    pub(in crate::config) fn of(origin: &str) -> Self {
        if origin.starts_with(FLAG) {
            Self::Flag
        } else if origin.starts_with(ENVIRONMENT) {
            Self::Environment
        } else if origin.starts_with(BUILT_IN) {
            Self::BuiltIn
        } else {
            Self::File
        }
    }
}
