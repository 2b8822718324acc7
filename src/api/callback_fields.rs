//! `callback` of a message: who is told of its final state, and of which.

use serde_json::value::RawValue;

use super::fields::{Fields, Shape};
use super::problem::{Fault, Problem};
use super::values::{list, string};
use crate::domain::callback::{CallbackOn, CallbackWish, FINAL_WORDS_MAX, NoTarget, parse_url};
use crate::domain::message::Details;
use crate::domain::policy::QueuePolicy;

pub(super) static SHAPE: Shape = Shape { known: &["url", "on"], later: &[] };

/// The wish in `raw`, which lies at `/callback`.
pub(super) fn read(raw: &RawValue) -> Result<CallbackWish, Vec<Fault>> {
    let mut fields = Fields::within(raw, &SHAPE, "/callback")
        .map_err(|detail| vec![Fault::new("/callback", detail)])?;
    let wish = CallbackWish {
        url: fields
            .read_as("url", |raw| parse_url(&string(raw)?).map_err(|why| format!("the url {why}"))),
        on: fields.read_as("on", states),
    };
    let faults = fields.into_faults();
    if faults.is_empty() { Ok(wish) } else { Err(faults) }
}

fn states(raw: &RawValue) -> Result<CallbackOn, String> {
    list(raw, FINAL_WORDS_MAX)?
        .into_iter()
        .try_fold(CallbackOn::NONE, |on, word| on.with(&string(word)?))
}

/// Whether the queue can do what the message wishes.
///
/// # Errors
/// A problem with the remedy.
pub(super) fn check(details: &Details, policy: &QueuePolicy) -> Result<(), Problem> {
    let Some(wish) = &details.callback else { return Ok(()) };
    if wish.url.is_none() && wish.on.is_some_and(CallbackOn::is_none) {
        // Nobody is to be told.
        return Ok(());
    }
    let none = || match &wish.url {
        Some(_) => Err(NoTarget::NotAllowed(wish.host())),
        None => Err(NoTarget::Unknown),
    };
    let target = policy
        .callback
        .as_ref()
        .map_or_else(none, |callback| callback.target(wish.url.as_ref()).map(drop));
    match target {
        Ok(()) => Ok(()),
        Err(why @ NoTarget::NotAllowed(_)) => {
            let remedy = "add it there, or use an allowed host";
            Err(Problem::fault("/callback/url", format!("{why}; {remedy}")))
        }
        Err(why @ NoTarget::Unknown) => {
            let remedy = format!("give callback.url, or set queues.{}.callback.url", policy.name);
            Err(Problem::fault("/callback", format!("{why}; {remedy}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::policy;
    use super::*;
    use crate::domain::callback::CallbackPolicy;
    use crate::domain::callback_host::CallbackHost;

    fn wish(json: &str) -> Result<CallbackWish, Vec<String>> {
        let read = read(serde_json::from_str(json).unwrap());
        read.map_err(|faults| faults.into_iter().map(|fault| fault.pointer).collect())
    }

    fn pointer(policy: &QueuePolicy, json: &str) -> Option<String> {
        let details = Details { callback: Some(wish(json).unwrap()), ..Details::default() };
        let problem = check(&details, policy).err()?;
        let fault = &problem.faults()[0];
        assert!(fault.detail.contains("; "), "it carries a remedy: {}", fault.detail);
        Some(fault.pointer.clone())
    }

    #[test]
    fn both_fields_are_read() {
        let both = wish(r#"{"url": "https://shop.example/x", "on": ["dead", "cancelled"]}"#);
        let both = both.unwrap();
        assert_eq!(both.url.unwrap().as_str(), "https://shop.example/x");
        assert_eq!(both.on.unwrap().words(), ["dead", "cancelled"]);
        assert_eq!(wish("{}"), Ok(CallbackWish::default()));
    }

    #[test]
    fn faults_carry_their_place() {
        assert_eq!(wish("5").unwrap_err(), ["/callback"]);
        assert_eq!(
            wish(r#"{"uri": 1, "url": "shop.example", "on": ["ready"]}"#).unwrap_err(),
            ["/callback/uri", "/callback/url", "/callback/on"]
        );
        assert_eq!(wish(r#"{"on": "dead"}"#).unwrap_err(), ["/callback/on"]);
    }

    #[test]
    fn what_the_queue_cannot_do_is_refused_with_the_remedy() {
        let mut policy = policy("q");
        let url = r#"{"url": "http://h:8/x"}"#;
        assert_eq!(pointer(&policy, url).as_deref(), Some("/callback/url"));
        assert_eq!(pointer(&policy, r#"{"on": ["dead"]}"#).as_deref(), Some("/callback"));
        assert_eq!(pointer(&policy, r#"{"on": []}"#), None);
        let host: CallbackHost = "h:8".parse().unwrap();
        policy.callback = Some(CallbackPolicy::on_hosts(vec![host].into()));
        assert_eq!(pointer(&policy, url), None);
        assert_eq!(
            pointer(&policy, r#"{"url": "http://h:9/x"}"#).as_deref(),
            Some("/callback/url")
        );
        assert_eq!(pointer(&policy, "{}").as_deref(), Some("/callback"));
    }
}
