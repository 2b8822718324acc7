//! Whether a queue can do what a message asks: call whom it names, hold an attempt to its timeout, and ever let its cost pass.

use super::Door;
use super::auth::Caller;
use super::problem::{Code, Problem};
use crate::config::Scope;
use crate::domain::callback::{CallbackOn, NoTarget};
use crate::domain::keys::MessageKey;
use crate::domain::message::Details;
use crate::domain::policy::{QueuePolicy, Unfit};

/// Whether the queue can do what the message wishes.
///
/// # Errors
/// A problem with the remedy.
pub(super) async fn check(
    (door, caller): (&Door, &Caller),
    details: &Details,
    policy: &QueuePolicy,
) -> Result<(), Problem> {
    if details.ignores_recipient_hours && !caller.has(Scope::Operate) {
        return Err(Problem::new(
            Code::Forbidden,
            format!(
                "the token \"{}\" lacks the scope \"operate\", which recipient_hours needs; leave recipient_hours out, or use another token",
                caller.name()
            ),
        ));
    }
    if policy.check(details).is_err() {
        // What its key was given at run time may let its cost pass. Boxed: it is rare, and all others would carry its room.
        let checked = Box::pin(door.store().queues.check(policy, details)).await?;
        checked.map_err(refused)?;
    }
    check_callback(details, policy)
}

fn check_callback(details: &Details, policy: &QueuePolicy) -> Result<(), Problem> {
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
        Err(why @ NoTarget::Unknown) => {
            let remedy = format!("give callback.url, or set queues.{}.callback.url", policy.name);
            Err(Problem::fault("/callback", format!("{why}; {remedy}")))
        }
        Err(why) => {
            let remedy = "add it there, or use an allowed host";
            Err(Problem::fault("/callback/url", format!("{why}; {remedy}")))
        }
    }
}

/// Whether the configuration of the queue takes a message that asks for this.
///
/// # Errors
/// A problem with what it allows.
pub(super) fn check_message(details: &Details, policy: &QueuePolicy) -> Result<(), Problem> {
    policy.check(details).map_err(refused)
}

fn refused(unfit: Unfit) -> Problem {
    match unfit {
        Unfit::Timeout(why) => Problem::fault("/timeout", why),
        Unfit::Url(why) => Problem::fault("/url", why),
        Unfit::Cost(why) => Problem::cost_too_large(why),
        Unfit::Key { key, why } => Problem::fault(pointer_of(&key), why),
        Unfit::CollapseKey(why) => Problem::fault("/collapse_key", why),
        Unfit::TimeZone(why) => Problem::fault("/time_zone", why),
    }
}

/// Where a message has the value of a key.
fn pointer_of(key: &MessageKey) -> String {
    match key {
        MessageKey::Group => "/group".to_owned(),
        MessageKey::Host => "/url".to_owned(),
        // RFC 6901, section 3.
        MessageKey::Label(name) => {
            format!("/labels/{}", name.replace('~', "~0").replace('/', "~1"))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::intake;
    use super::super::tests::policy;
    use super::*;
    use crate::domain::callback::CallbackPolicy;
    use crate::domain::callback_host::CallbackHost;

    fn pointer(policy: &QueuePolicy, json: &str) -> Option<String> {
        let body = Bytes::from(format!("{{\"payload\": 1, \"callback\": {json}}}"));
        let details = intake::message(&body, 0, None).unwrap().details;
        let problem = check_callback(&details, policy).err()?;
        let fault = &problem.faults()[0];
        assert!(fault.detail.contains("; "), "it carries a remedy: {}", fault.detail);
        Some(fault.pointer.clone())
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
