//! A scripted receiver on a real socket.
//!
//! Owns the connections and the record of every request: what, in which order, when. It speaks
//! HTTP/1.1 by hand, because it must also misbehave: reset, fall silent, answer garbage. Refuses to
//! know Tidegate beyond the names of a few headers.

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::script::{Act, Answer};

const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Long enough that the other side sees two writes.
const BETWEEN_WRITES: Duration = Duration::from_millis(2);

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its place in the order of arrival, from 0.
    pub(crate) index: usize,
    /// When its head had arrived.
    pub(crate) arrived: Instant,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// When its answer left, or the connection was given up.
    pub(crate) answered: Option<Instant>,
    /// What was answered; `None` for nothing, or for nothing that has a status.
    pub(crate) status: Option<u16>,
}

impl Request {
    /// The value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The id of the message (or of the batch).
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id").expect("every call carries webhook-id")
    }

    /// Which attempt this is.
    pub(crate) fn attempt(&self) -> u32 {
        let attempt = self.header("tidegate-attempt").expect("every call carries Tidegate-Attempt");
        attempt.parse().expect("Tidegate-Attempt is a number")
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The items of a batch.
    pub(crate) fn items(&self) -> Vec<Value> {
        self.json().as_array().expect("a batch is a JSON array").clone()
    }
}

impl fmt::Debug for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Downstream").field("address", &self.address).finish_non_exhaustive()
    }
}

type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

/// What the connections share; the lock is held for a push or a pop, never across an await.
struct Shared {
    requests: Vec<Request>,
    once: VecDeque<Answer>,
    script: Script,
    in_flight: usize,
    in_flight_max: usize,
}

/// The receiver; its connections end when it is dropped.
pub(crate) struct Downstream {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    count: watch::Receiver<usize>,
    // Dropping it ends the listener, and with it every connection.
    _listener: JoinSet<()>,
}

impl Downstream {
    /// A receiver that answers 200 to everything until it is told otherwise.
    pub(crate) async fn start() -> Self {
        Self::start_at(0).await
    }

    /// The same at a port that was chosen before.
    pub(crate) async fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Mutex::new(Shared {
            requests: Vec::new(),
            once: VecDeque::new(),
            script: Box::new(|_| Answer::ok()),
            in_flight: 0,
            in_flight_max: 0,
        }));
        let (tell, count) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, Arc::clone(&shared), tell));
        Self { address, shared, count, _listener: tasks }
    }

    /// The address with this path, for `downstream.url`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on, answers come from `script` (which sees the request).
    pub(crate) fn answer_with(&self, script: impl FnMut(&Request) -> Answer + Send + 'static) {
        self.lock().script = Box::new(script);
    }

    /// From now on, always this answer.
    pub(crate) fn always(&self, answer: Answer) {
        self.answer_with(move |_| answer.clone());
    }

    /// The next request without an answer of its own gets this one, before the script is asked.
    pub(crate) fn once(&self, answer: Answer) {
        self.lock().once.push_back(answer);
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// Most requests that were unanswered at the same time.
    pub(crate) fn in_flight_max(&self) -> usize {
        self.lock().in_flight_max
    }

    /// Waits until so many requests have arrived; returns all that have.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Request> {
        let mut arrived = self.count.clone();
        let so_far = || format!("{count} requests downstream; {} came", self.requests().len());
        let waited = tokio::time::timeout(super::wait::DEADLINE, arrived.wait_for(|n| *n >= count));
        match waited.await {
            Ok(seen) => drop(seen.expect("the listener lives as long as we do")),
            Err(_) => panic!("waited {:?} in vain for {}", super::wait::DEADLINE, so_far()),
        }
        self.requests()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("a script panicked, see above")
    }
}

async fn listen(listener: TcpListener, shared: Arc<Mutex<Shared>>, tell: watch::Sender<usize>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(serve(stream, Arc::clone(&shared), tell.clone()));
            }
            // Ended connections are taken out as they end; none ends the listener.
            Some(ended) = connections.join_next() => {
                ended.expect("a connection of the downstream panicked, see above");
            }
        }
    }
}

/// One connection, request after request, until either side is done with it.
async fn serve(stream: TcpStream, shared: Arc<Mutex<Shared>>, tell: watch::Sender<usize>) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(request)) = read_request(&mut stream).await {
        let (index, answer) = record(&shared, request);
        tell.send_modify(|count| *count += 1);
        if let Some(gate) = &answer.gate {
            gate.passed().await;
        }
        if !answer.after.is_zero() {
            tokio::time::sleep(answer.after).await;
        }
        if matches!(answer.act, Act::Silence) {
            // Until the other side gives up.
            drop(stream.read_u8().await);
        }
        // Counted down before the answer leaves: the next request may follow at once.
        note_answer(&mut shared.lock().expect("a script panicked, see above"), index, &answer.act);
        if !give(&mut stream, answer.act).await {
            return;
        }
    }
}

fn note_answer(shared: &mut Shared, index: usize, act: &Act) {
    shared.in_flight -= 1;
    let request = &mut shared.requests[index];
    request.answered = Some(Instant::now());
    request.status = match act {
        Act::Reply { status, .. } => Some(*status),
        Act::Raw(_) | Act::Writes(_) | Act::Endless(_) | Act::Reset | Act::Silence => None,
    };
}

fn record(shared: &Mutex<Shared>, mut request: Request) -> (usize, Answer) {
    let mut shared = shared.lock().expect("a script panicked, see above");
    request.index = shared.requests.len();
    shared.in_flight += 1;
    shared.in_flight_max = shared.in_flight_max.max(shared.in_flight);
    let answer = shared.once.pop_front().unwrap_or_else(|| (shared.script)(&request));
    let index = request.index;
    shared.requests.push(request);
    (index, answer)
}

/// Gives the answer; says whether the connection can take another request.
async fn give(stream: &mut BufReader<TcpStream>, act: Act) -> bool {
    let stream = stream.get_mut();
    match act {
        Act::Reply { status, headers, body } => {
            let mut head = format!("HTTP/1.1 {status} scripted\r\n");
            for (name, value) in headers {
                head.extend([&name, ": ", &value, "\r\n"]);
            }
            if status != 204 && status != 304 {
                head.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
            }
            let whole = [head.as_bytes(), b"\r\n", &body].concat();
            stream.write_all(&whole).await.is_ok()
        }
        Act::Raw(bytes) => {
            // The other side may have hung up on such an answer already.
            drop(stream.write_all(&bytes).await);
            drop(stream.shutdown().await);
            false
        }
        Act::Writes(writes) => {
            for bytes in writes {
                if stream.write_all(&bytes).await.is_err() {
                    return false;
                }
                tokio::time::sleep(BETWEEN_WRITES).await;
            }
            true
        }
        Act::Endless(bytes) => {
            while stream.write_all(&bytes).await.is_ok() {}
            false
        }
        Act::Reset => {
            stream.set_zero_linger().expect("the socket is open");
            false
        }
        Act::Silence => false,
    }
}

/// Reads one request; `None` at the end of the connection.
pub(crate) async fn read_request(
    stream: &mut BufReader<TcpStream>,
) -> std::io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(head.len() < HEAD_BYTES_MAX, "a request head without end");
        if !matches!(stream.read_until(b'\n', &mut head).await, Ok(1..)) {
            return Ok(None);
        }
    }
    let arrived = Instant::now();
    let head = String::from_utf8(head).expect("a request head is text");
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let (body, answered, status) = (Vec::new(), None, None);
    let mut request = Request { index: 0, arrived, method, path, headers, body, answered, status };
    assert!(request.header("transfer-encoding").is_none(), "this downstream wants Content-Length");
    let length = request.header("content-length").map_or(Ok(0), str::parse);
    request.body.resize(length.expect("Content-Length is a number"), 0);
    stream.read_exact(&mut request.body).await?;
    Ok(Some(request))
}
