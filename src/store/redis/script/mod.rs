//! The scripts: every verb, and how its script is called.
//!
//! Refuses to know what a script does (see `lua/<verb>.lua`), how its text comes about (see `assembly`), what it takes
//! and gives back (see `signature`) and where it runs (see `link`).

mod args;
mod assembly;
mod call;
mod expansion;
mod form;
#[cfg(test)]
mod names;
mod numbers;
#[cfg(feature = "failpoints")]
mod planted_bugs;
pub(in crate::store) mod signature;
mod verbs;

use std::sync::OnceLock;

use redis::{Cmd, cmd};

use assembly::{Assembled, Declared};
pub(in crate::store) use form::ScriptForm;
pub use verbs::Verb;

pub(in crate::store) use args::{arg, when, when_text};
pub(in crate::store) use call::{
    Call, TimedCall, Value, add_rows, call, fields, pack, row, rows, timed_call,
};

/// A script, called by its hash, and by its text where a server does not have it yet.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    hash: String,
    declared: Declared,
}

impl Script {
    fn new(assembled: Assembled) -> Self {
        let Assembled { text, declared } = assembled;
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash, declared }
    }

    /// `keys` are all that the script may use; it declares those it touches.
    pub(crate) fn by_hash(&self, keys: &[String], args: &[Vec<u8>]) -> Cmd {
        self.call("EVALSHA", &self.hash, keys, args)
    }

    /// A server that runs it so has it from then on; nobody else needs to be told.
    pub(crate) fn by_text(&self, keys: &[String], args: &[Vec<u8>]) -> Cmd {
        self.call("EVAL", &self.text, keys, args)
    }

    fn call(&self, how: &str, what: &str, keys: &[String], args: &[Vec<u8>]) -> Cmd {
        let mut command = cmd(how);
        command.arg(what);
        match &self.declared {
            Declared::All => drop(command.arg(keys.len()).arg(keys)),
            Declared::Some(positions) => {
                command.arg(positions.len());
                for position in positions {
                    command.arg(&keys[*position]);
                }
            }
        }
        for arg in args {
            command.arg(arg.as_slice());
        }
        command
    }
}

/// The scripts of one form, each put together by itself: all of them at once would keep a thread so long from reading replies that
/// slots pass by.
type Scripts = [OnceLock<Script>; Verb::ALL.len()];

static PLAIN: Scripts = [const { OnceLock::new() }; _];
static KEYED: Scripts = [const { OnceLock::new() }; _];
static COLLAPSING: Scripts = [const { OnceLock::new() }; _];
static KEYED_COLLAPSING: Scripts = [const { OnceLock::new() }; _];

/// Puts all scripts together, in a thread of its own: a first call that has to do that itself is late, and so may its permit be.
pub(in crate::store) fn prepare() {
    let prepare = || {
        for form in ScriptForm::ALL {
            for verb in Verb::ALL {
                let _script = verb.script(form);
            }
        }
    };
    // Where there is no thread for it, each first call does it.
    drop(std::thread::Builder::new().name("scripts".to_owned()).spawn(prepare));
}

impl Verb {
    /// The script, ready to be invoked.
    pub(in crate::store) fn script(self, form: ScriptForm) -> &'static Script {
        let scripts = match form {
            ScriptForm::Plain => &PLAIN,
            ScriptForm::Keyed => &KEYED,
            ScriptForm::Collapsing => &COLLAPSING,
            ScriptForm::KeyedCollapsing => &KEYED_COLLAPSING,
        };
        scripts[self as usize].get_or_init(|| Script::new(self.assembled(form)))
    }

    /// Whether a run of a server that was not met before has to be told first what this node knows: what is accepted or started could
    /// not be told apart from what a lost server knew, or would overspend its limits.
    pub(in crate::store) const fn begins_after_recovery(self) -> bool {
        matches!(
            self,
            Self::Schedule | Self::Fire | Self::Claim | Self::Grant | Self::Reserve | Self::Charge
        )
    }

    /// The verb whose script a server knows by this hash.
    #[must_use]
    pub fn of_hash(hash: &str) -> Option<Self> {
        let has_it =
            |verb: &Self| ScriptForm::ALL.into_iter().any(|form| verb.script(form).hash == hash);
        Self::ALL.iter().copied().find(has_it)
    }

    fn assembled(self, form: ScriptForm) -> Assembled {
        let text = self.text(form);
        assembly::declare(&text)
    }

    /// The script with its includes, before its keys are numbered.
    pub(in crate::store) fn text(self, form: ScriptForm) -> String {
        let text = assembly::splice(self.source(), form);
        let text = expansion::expand(self.source(), &text).expect("a test checks that it can be");
        #[cfg(feature = "failpoints")]
        let text = planted_bugs::spoil(text);
        text
    }
}

/// Every script of a shard in all of its forms, as Redis gets it: for checks that run scripts without the rest of the program.
///
/// The verb and its form (`plain` and others), the text, and the names of the keys that it declares, in their order.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn assembled_scripts() -> Vec<(String, String, Vec<String>)> {
    let names = crate::store::redis::keys::shard_key_names();
    let mut scripts = Vec::new();
    for form in ScriptForm::ALL {
        let word = form.as_str();
        for verb in Verb::ALL {
            let Script { text, declared, .. } = verb.script(form);
            if let Declared::Some(positions) = declared {
                let keys = positions.iter().map(|position| names[*position].clone()).collect();
                scripts.push((format!("{}.{word}", verb.as_str()), text.clone(), keys));
            }
        }
    }
    scripts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_forms() -> impl Iterator<Item = (Verb, ScriptForm)> {
        Verb::ALL.iter().flat_map(|verb| ScriptForm::ALL.map(|form| (*verb, form)))
    }

    #[test]
    fn every_script_keeps_to_its_header() {
        for (verb, form) in all_forms() {
            let text = assembly::splice(verb.source(), form);
            assert_eq!(expansion::expand(verb.source(), &text).err(), None, "{verb:?}");
        }
    }

    #[test]
    fn scripts_that_go_by_time_begin_alike() {
        let timed = Verb::ALL.iter().filter(|verb| {
            let returns = signature::Signature::returns(verb.source());
            returns.named().first().is_some_and(|field| field.name() == "is_in_doubt")
        });
        let mut count = 0;
        for verb in timed {
            let args = signature::Signature::args(verb.source());
            let returns = signature::Signature::returns(verb.source());
            assert_eq!((args.place("earliest_us"), args.place("latest_us")), (0, 1), "{verb:?}");
            assert_eq!((returns.place("is_in_doubt"), returns.place("now_us")), (0, 1), "{verb:?}");
            count += 1;
        }
        assert_eq!(count, 10);
    }

    #[test]
    fn every_script_starts_with_its_flags_and_is_known_by_its_hash() {
        for (verb, form) in all_forms() {
            let text = verb.text(form);
            assert!(text.starts_with("#!lua"), "{verb:?}");
            assert!(text.contains(&format!("-- {}: ", verb.as_str())), "{verb:?}");
            assert_eq!(Verb::ALL[verb as usize], verb);
            assert_eq!(Verb::of_hash(&verb.script(form).hash), Some(verb));
        }
    }
}
