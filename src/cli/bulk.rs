//! Commands on all messages of a state: purge, requeue-all.
//!
//! Owns the question before and the loop: the API does a bounded part per request. Refuses to
//! destroy without `--yes`; what can be repeated is only asked about where somebody sits there.

use http::Method;
use serde_json::json;

use super::Session;
use super::args_admin::BulkArgs;
use super::client::{Answer, Target};
use super::describe::count;
use super::exit::{Exit, Failure};
use super::progress::Progress;
use crate::domain::state::State;
use crate::wire::queue::{OfStateRequest, PurgedAnswer, QueueView, RequeuedAnswer};

/// What is done to all messages, in its words.
struct Deed {
    /// The command, and the end of the API's path.
    verb: &'static str,
    /// What has been done, in a word.
    done: &'static str,
    /// How many messages an answer counts, and how many remain.
    read: fn(&Answer) -> Result<(u64, u64), Failure>,
    /// Whether what it takes away is gone for good.
    destroys: bool,
}

/// `purge`.
pub(crate) async fn purge(args: &BulkArgs, session: &mut Session) -> Result<Exit, Failure> {
    let read = |answer: &Answer| {
        let PurgedAnswer { purged, remaining } = answer.read()?;
        Ok((purged, remaining))
    };
    all(&Deed { verb: "purge", done: "purged", read, destroys: true }, args, session).await
}

/// `requeue-all` of everything, as fast as it goes.
pub(crate) async fn requeue_all(
    queue: &str,
    state: State,
    yes: bool,
    session: &mut Session,
) -> Result<Exit, Failure> {
    let args = BulkArgs { queue: queue.to_owned(), state, yes };
    let read = |answer: &Answer| {
        let RequeuedAnswer { requeued, remaining } = answer.read()?;
        Ok((requeued, remaining))
    };
    let deed = Deed { verb: "requeue-all", done: "requeued", read, destroys: false };
    all(&deed, &args, session).await
}

async fn all(deed: &Deed, args: &BulkArgs, session: &mut Session) -> Result<Exit, Failure> {
    if !args.yes && deed.destroys {
        let what = rehearse(deed, args, session).await?;
        let refusal = Failure::usage(format!("{what}; nothing was done"));
        return Err(refusal.next("add --yes to do it"));
    }
    if !args.yes && session.screen.in_is_tty {
        let what = rehearse(deed, args, session).await?;
        if !session.screen.ask(&format!("{what}; do it?"))? {
            return Err(Failure::new(Exit::Failure, "nothing was done"));
        }
    }
    let mut progress = Progress::new(&session.screen, 0);
    let mut total = 0;
    let remaining = loop {
        let target = Target::new(&["v1", "queues", &args.queue, deed.verb]);
        let body = OfStateRequest { state: args.state.into() };
        let answer = session.client.send(Method::POST, &target, &body).await?;
        let (done, remaining) = (deed.read)(&answer)?;
        total += done;
        // A part that did nothing will do nothing next time.
        if remaining == 0 || done == 0 {
            break remaining;
        }
        progress.grow(total + remaining);
        let text = format!("{total} {}, {remaining} remain", deed.done);
        progress.show(total, &text, &mut session.screen)?;
    };
    progress.clear();
    if session.screen.is_json() {
        session.screen.json(&json!({ deed.done: total, "remaining": remaining }))?;
    } else {
        session.screen.line(&format!("{} {}", count(total, "message"), deed.done))?;
    }
    if remaining > 0 {
        let what = format!("{} could not be {}", count(remaining, "message"), deed.done);
        return Err(Failure::new(Exit::Failure, what).next("`tidegate list QUEUE` shows them"));
    }
    Ok(Exit::Ok)
}

/// What would be done, in words.
async fn rehearse(deed: &Deed, args: &BulkArgs, session: &Session) -> Result<String, Failure> {
    let target = Target::new(&["v1", "queues", &args.queue]);
    let queue: QueueView = session.client.get(&target).await?.read()?;
    let found = count(queue.counts.of(args.state), &format!("{} message", args.state));
    Ok(format!("{found} of {} would be {}", args.queue, deed.done))
}
