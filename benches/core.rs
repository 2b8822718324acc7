//! The atomic core against the raw limit: the same messages, the same batches, the same server.
//!
//! Owns two measurements that do not depend on the machine's speed: Redis CPU per whole life of a
//! message (schedule, promote, claim, ack) as a ratio to bare scripts that do the least a queue must
//! do, and bytes of Redis per scheduled message. Prints a table, then one line of JSON.
//!
//! `cargo bench --bench core -- 200000` takes another number of messages.

#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{Client, Script};
use tidegate::config::{self, Sources};
use tidegate::domain::message::{Details, NewMessage, PayloadKind, When};
use tidegate::shutdown::Tasks;
use tidegate::store::{ClaimWish, Settled, Store};
use tidegate::telemetry::Metrics;

const ROUNDS: usize = 3;
const BATCH: usize = 100;
const PAYLOAD_BYTES: usize = 100;
const HOUR_MS: u64 = 3_600_000;

/// The least that a queue must do, with variadic writes: the limit to hold ourselves against.
const RAW_SCHEDULE: &str = "local h, z = {}, {} \
    for i = 1, #ARGV, 3 do h[#h+1] = ARGV[i] h[#h+1] = ARGV[i+2] z[#z+1] = ARGV[i+1] z[#z+1] = ARGV[i] end \
    redis.call('HSET', KEYS[1], unpack(h)) redis.call('ZADD', KEYS[2], unpack(z)) return 1";
const RAW_PROMOTE: &str = "local m = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2]) \
    if #m == 0 then return 0 end redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #m - 1) \
    redis.call('RPUSH', KEYS[2], unpack(m)) return #m";
const RAW_CLAIM: &str = "local m = redis.call('LPOP', KEYS[1], ARGV[1]) if not m then return {} end \
    local z = {} for i, id in ipairs(m) do z[#z+1] = ARGV[2] z[#z+1] = id end \
    redis.call('ZADD', KEYS[2], unpack(z)) return {m, redis.call('HMGET', KEYS[3], unpack(m))}";
const RAW_ACK: &str =
    "redis.call('ZREM', KEYS[1], unpack(ARGV)) return redis.call('HDEL', KEYS[2], unpack(ARGV))";

fn main() -> Result<()> {
    let messages = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(50_000);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(messages))
}

async fn run(messages: usize) -> Result<()> {
    println!(
        "{messages} messages of {PAYLOAD_BYTES} bytes, {BATCH} a call, {ROUNDS} rounds, AOF off"
    );
    let (mut raws, mut ours, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        raws.push(raw_life(messages).await?);
        let [schedule, promote, claim] = our_life(messages).await?;
        ours.push(schedule + promote + claim);
        bytes.push(scheduled_bytes(messages).await?);
        println!(
            "  round {round}: raw {:.2} µs, tidegate {:.2} µs \
             (schedule {schedule:.2}, promote {promote:.2}, claim and ack {claim:.2}), {:.0} bytes",
            raws[round - 1],
            ours[round - 1],
            bytes[round - 1]
        );
    }
    let (raw, our, bytes) = (median(raws), median(ours), median(bytes));
    println!("\n{:<44}{:>10}", "Redis CPU per raw life", format!("{raw:.2} µs"));
    println!("{:<44}{:>10}", "Redis CPU per life", format!("{our:.2} µs"));
    println!("{:<44}{:>10}", "ratio", format!("{:.2}", our / raw));
    println!("{:<44}{:>10}", "Redis bytes per scheduled message", format!("{bytes:.0}"));
    println!(
        "{{\"raw_life_us\":{raw:.3},\"life_us\":{our:.3},\"ratio\":{:.3},\"scheduled_bytes\":{bytes:.1}}}",
        our / raw
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A redis-server of its own, ended with the value.
struct Server {
    child: Child,
    _dir: tempfile::TempDir,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    async fn start() -> Result<(Self, MultiplexedConnection)> {
        let dir = tempfile::tempdir()?;
        let socket = dir.path().join("redis.sock");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server is not installed")?;
        let url = format!("unix://{}", socket.display());
        let server = Self { child, _dir: dir, url };
        loop {
            if let Ok(connection) =
                Client::open(server.url.as_str())?.get_multiplexed_async_connection().await
            {
                return Ok((server, connection));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// One number of INFO.
async fn info(connection: &mut MultiplexedConnection, field: &str) -> Result<f64> {
    let text: String = redis::cmd("INFO").query_async(connection).await?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line.context("INFO has the field")?.trim().parse()?)
}

async fn cpu_us(connection: &mut MultiplexedConnection) -> Result<f64> {
    Ok((info(connection, "used_cpu_user").await? + info(connection, "used_cpu_sys").await?) * 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "a count of messages")]
fn per_message(total: f64, messages: usize) -> f64 {
    total / messages as f64
}

async fn raw_life(messages: usize) -> Result<f64> {
    let (_server, mut connection) = Server::start().await?;
    let payload = vec![b'x'; PAYLOAD_BYTES + 12];
    let [schedule, promote, claim, ack] =
        [RAW_SCHEDULE, RAW_PROMOTE, RAW_CLAIM, RAW_ACK].map(Script::new);
    let before = cpu_us(&mut connection).await?;
    for part in 0..messages / BATCH {
        let mut call = schedule.prepare_invoke();
        call.key("{q}h").key("{q}z");
        for n in 0..BATCH {
            let id = format!("{:026}", part * BATCH + n);
            call.arg(id).arg(1000).arg(payload.as_slice());
        }
        let () = call.invoke_async(&mut connection).await?;
    }
    loop {
        let mut call = promote.prepare_invoke();
        let moved: usize =
            call.key("{q}z").key("{q}l").arg(2000).arg(1000).invoke_async(&mut connection).await?;
        if moved == 0 {
            break;
        }
    }
    loop {
        let mut call = claim.prepare_invoke();
        call.key("{q}l").key("{q}p").key("{q}h").arg(BATCH).arg(9999);
        let taken: Vec<Vec<Vec<u8>>> = call.invoke_async(&mut connection).await?;
        let Some(ids) = taken.first() else { break };
        let mut call = ack.prepare_invoke();
        call.key("{q}p").key("{q}h");
        for id in ids {
            call.arg(id.as_slice());
        }
        let () = call.invoke_async(&mut connection).await?;
    }
    Ok(per_message(cpu_us(&mut connection).await? - before, messages))
}

/// A store on a fresh server, with one queue that keeps what was delivered for a moment only.
async fn our_store(url: &str) -> Result<Store> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("bench.toml");
    let text = "[redis]\ndurability = \"memory\"\n[queues.bench]\nconcurrency = 100000\n\
                retention = { delivered = \"1ms\" }\n[queues.bench.downstream]\ntype = \"null\"\n";
    std::fs::write(&file, text)?;
    let overrides = vec![("redis.url".to_owned(), url.to_owned(), "--redis")];
    let settings = config::load(&Sources::of_process(Some(file), overrides))
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    let store = Store::new(&settings, None, Metrics::new(), Tasks::new());
    store.check().await?;
    Ok(store)
}

fn message(due: When) -> NewMessage {
    NewMessage {
        payload: Bytes::from(vec![b'x'; PAYLOAD_BYTES]),
        details: Details {
            kind: PayloadKind::Json,
            content_type: None,
            headers: Vec::new(),
            group: None,
            labels: std::collections::BTreeMap::new(),
            idempotency_key: None,
            retry: None,
        },
        due,
        expires: None,
        priority: 0,
        fingerprint: [0; 16],
    }
}

/// Redis CPU per message in µs: taking in, promoting, and claiming with acknowledging.
async fn our_life(messages: usize) -> Result<[f64; 3]> {
    let (server, mut connection) = Server::start().await?;
    let store = our_store(&server.url).await?;
    let queue = store.queues().remove(0);
    let (name, shard) = (queue.policy.name.clone(), queue.shards[0].clone());
    let before = cpu_us(&mut connection).await?;
    let due = When::After(2000);
    for _ in 0..messages / BATCH {
        store.schedule(&name, vec![message(due); BATCH]).await?;
    }
    let scheduled = cpu_us(&mut connection).await?;
    let mut left = messages - messages % BATCH;
    while left > 0 {
        let swept = store.promote(&queue, &shard).await?;
        left -= usize::try_from(swept.moved)?;
        if swept.moved == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let promoted = cpu_us(&mut connection).await?;
    let wish =
        ClaimWish { messages_max: BATCH, horizon_us: 50_000, before_us: None, batch_now: false };
    loop {
        let reply = store.claim(&queue, wish).await?;
        if reply.messages.is_empty() {
            break;
        }
        let settled: Vec<Settled> = reply
            .messages
            .into_iter()
            .map(|m| Settled { lease: m.lease, attempt: None, reason: None, delay_ms: 0 })
            .collect();
        store.ack(&queue, &shard, &[], &settled).await?;
    }
    let ended = cpu_us(&mut connection).await?;
    let phases = [scheduled - before, promoted - scheduled, ended - promoted];
    Ok(phases.map(|phase| per_message(phase, messages)))
}

async fn scheduled_bytes(messages: usize) -> Result<f64> {
    let (server, mut connection) = Server::start().await?;
    let store = our_store(&server.url).await?;
    let name = store.queues()[0].policy.name.clone();
    let before = info(&mut connection, "used_memory").await?;
    for _ in 0..messages / BATCH {
        let batch =
            (0..BATCH).map(|_| message(When::After(rand::random::<u64>() % HOUR_MS + 1000)));
        store.schedule(&name, batch.collect()).await?;
    }
    Ok(per_message(info(&mut connection, "used_memory").await? - before, messages))
}
