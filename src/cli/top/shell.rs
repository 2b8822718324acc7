//! The loop: what is shown, what is asked, what is typed, and what ends it.
//!
//! Owns the clock, the client and the signals. Decides nothing: keys, answers and the pace are the matter of the core.

use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::ask::{Ask, News};
use super::keys::{self, Effect};
use super::state::Top;
use super::terminal::OwnTerminal;
use super::turns::Turns;
use super::view::{self, Paint};
use crate::cli::Session;
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};

/// How often it is looked whether something is to be asked, and the distances of moments are shown anew.
const TICK: Duration = Duration::from_millis(250);

/// A request under way: what was asked, what came of it, and how long that took.
type Asking<'a> = LocalBoxFuture<'a, (Ask, Result<News, Failure>, Duration)>;
/// A step under way.
type Doing<'a> = LocalBoxFuture<'a, Result<String, Failure>>;

/// Runs until it is left.
pub(super) async fn run(session: &Session) -> Result<Exit, Failure> {
    let mut top = Top::new(session.client.origin());
    // A daemon that was never there, or that refuses, is an error as in every other command.
    let queues = Ask::Queues.put(&session.client).await?;
    top.take(&Ask::Queues, Ok(queues), (session.now_ms)());
    let mut stops = Stops::new()?;
    let mut terminal = OwnTerminal::take()?;
    follow(&mut top, session, &mut terminal, &mut stops).await
}

async fn follow(
    top: &mut Top,
    session: &Session,
    terminal: &mut OwnTerminal,
    stops: &mut Stops,
) -> Result<Exit, Failure> {
    let paint = Paint { has_colours: session.screen.has_colours() };
    let (started, mut turns) = (Instant::now(), Turns::default());
    let elapsed_ms = || milliseconds(started.elapsed());
    turns.answered(&Ask::Queues, 0, 0);
    let (mut asking, mut doing): (Option<Asking<'_>>, Option<Doing<'_>>) = (None, None);
    let (mut events, mut tick) = (EventStream::new(), tokio::time::interval(TICK));
    loop {
        let times = session.times();
        terminal.canvas.draw(|frame| view::draw(frame, top, &times, paint))?;
        if asking.is_none() {
            let next = turns.next(&top.asks(), elapsed_ms());
            top.asked_ms = next.as_ref().map(|_| times.now_ms);
            asking = next.map(|ask| put(ask, &session.client));
        }
        tokio::select! {
            event = events.next() => match typed(top, event)? {
                Effect::Nothing => {}
                Effect::Quit => return Ok(Exit::Ok),
                Effect::Errand(errand) => {
                    doing = Some(Box::pin(async move { errand.run(&session.client).await }));
                }
            },
            (ask, answered, took) = of(&mut asking) => {
                asking = None;
                turns.answered(&ask, elapsed_ms(), milliseconds(took));
                top.take(&ask, answered, (session.now_ms)());
            }
            ended = of(&mut doing) => {
                doing = None;
                top.done(ended);
                turns.anew();
            }
            _ = tick.tick() => {}
            () = stops.any() => return Ok(Exit::Ok),
        }
    }
}

/// What was typed; the terminal may have gone.
fn typed(top: &mut Top, event: Option<std::io::Result<Event>>) -> Result<Effect, Failure> {
    let gone =
        |why: &str| Failure::new(Exit::Failure, format!("the terminal cannot be read: {why}"));
    match event {
        Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => Ok(keys::press(top, key)),
        Some(Ok(Event::Paste(text))) => {
            keys::paste(top, &text);
            Ok(Effect::Nothing)
        }
        // Of another size, it is drawn anew.
        Some(Ok(_)) => Ok(Effect::Nothing),
        Some(Err(error)) => Err(gone(&error.to_string())),
        None => Err(gone("it was closed")),
    }
}

fn put(ask: Ask, client: &Client) -> Asking<'_> {
    Box::pin(async move {
        let asked = Instant::now();
        let answered = ask.put(client).await;
        (ask, answered, asked.elapsed())
    })
}

/// What is under way; never, where nothing is.
async fn of<T>(under_way: &mut Option<LocalBoxFuture<'_, T>>) -> T {
    match under_way {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The signals that end it, so that the terminal is given back.
struct Stops([Signal; 3]);

impl Stops {
    fn new() -> std::io::Result<Self> {
        let [a, b, c] = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
        Ok(Self([signal(a)?, signal(b)?, signal(c)?]))
    }

    async fn any(&mut self) {
        let [a, b, c] = &mut self.0;
        tokio::select! { _ = a.recv() => {}, _ = b.recv() => {}, _ = c.recv() => {} }
    }
}
