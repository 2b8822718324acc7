//! The raw limit: bare scripts that do the least a queue must do, with variadic writes.

use std::time::Instant;

use anyhow::Result;
use redis::Script;
use redis::aio::MultiplexedConnection;

use crate::kit::PAYLOAD_BYTES;
use crate::kit::figures::float;
use crate::kit::redis::Server;

/// Messages a call.
pub(super) const BATCH: usize = 100;
/// Calls in flight.
const IN_FLIGHT: usize = 8;
/// Messages with numbers from here on are due another day, in no order; all others one after the other.
const ANOTHER_DAY: usize = 1_000_000_000;
const DAY_MS: usize = 86_400_000;

const SCHEDULE: &str = "local h, z = {}, {} \
    for i = 1, #ARGV, 3 do h[#h+1] = ARGV[i] h[#h+1] = ARGV[i+2] z[#z+1] = ARGV[i+1] z[#z+1] = ARGV[i] end \
    redis.call('HSET', KEYS[1], unpack(h)) redis.call('ZADD', KEYS[2], unpack(z)) return 1";
const PROMOTE: &str = "local m = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2]) \
    if #m == 0 then return 0 end redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #m - 1) \
    redis.call('RPUSH', KEYS[2], unpack(m)) return #m";
const CLAIM: &str = "local m = redis.call('LPOP', KEYS[1], ARGV[1]) if not m then return {} end \
    local z = {} for i, id in ipairs(m) do z[#z+1] = ARGV[2] z[#z+1] = id end \
    redis.call('ZADD', KEYS[2], unpack(z)) return {m, redis.call('HMGET', KEYS[3], unpack(m))}";
const ACK: &str =
    "redis.call('ZREM', KEYS[1], unpack(ARGV)) return redis.call('HDEL', KEYS[2], unpack(ARGV))";

async fn enqueue(
    connection: &mut MultiplexedConnection,
    first: usize,
    payload: &[u8],
) -> Result<()> {
    let script = Script::new(SCHEDULE);
    let mut call = script.prepare_invoke();
    call.key("{raw}h").key("{raw}z");
    for number in first..first + BATCH {
        let due = match number {
            0..ANOTHER_DAY => 1000 + number,
            _ => 2 * ANOTHER_DAY + number * 7_919 % DAY_MS,
        };
        call.arg(format!("{number:026}")).arg(due).arg(payload);
    }
    Ok(call.invoke_async(connection).await?)
}

/// All that is not due another day, promoted.
async fn promote(connection: &mut MultiplexedConnection) -> Result<()> {
    let promote = Script::new(PROMOTE);
    loop {
        let mut call = promote.prepare_invoke();
        call.key("{raw}z").key("{raw}l").arg(2 * ANOTHER_DAY - 1).arg(1000);
        let moved: usize = call.invoke_async(connection).await?;
        if moved == 0 {
            return Ok(());
        }
    }
}

/// All that was promoted, claimed and acknowledged.
async fn drain(connection: &MultiplexedConnection) -> Result<()> {
    let [claim, ack] = [CLAIM, ACK].map(Script::new);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (claim, ack, mut connection) = (claim.clone(), ack.clone(), connection.clone());
        tasks.spawn(async move {
            loop {
                let mut call = claim.prepare_invoke();
                call.key("{raw}l").key("{raw}p").key("{raw}h").arg(BATCH).arg(9999);
                let taken: Vec<Vec<Vec<u8>>> = call.invoke_async(&mut connection).await?;
                let Some(ids) = taken.first() else { return Ok::<(), anyhow::Error>(()) };
                let mut call = ack.prepare_invoke();
                call.key("{raw}p").key("{raw}h");
                for id in ids {
                    call.arg(id.as_slice());
                }
                let () = call.invoke_async(&mut connection).await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn enqueue_all(server: &Server, first: usize, messages: usize) -> Result<()> {
    let payload = vec![b'x'; PAYLOAD_BYTES + 12];
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..IN_FLIGHT {
        let (mut connection, payload) = (server.connection.clone(), payload.clone());
        tasks.spawn(async move {
            for part in (lane..messages / BATCH).step_by(IN_FLIGHT) {
                enqueue(&mut connection, first + part * BATCH, &payload).await?;
            }
            Ok::<(), anyhow::Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// What the limit comes to on this machine, now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw {
    /// Messages a second, taken in.
    pub(super) enqueue_rate: f64,
    /// Whole lives a second.
    pub(super) life_rate: f64,
    /// Redis CPU of a whole life.
    pub(super) life_us: f64,
}

/// Measures it.
pub(super) async fn measure(server: &mut Server, messages: usize) -> Result<Raw> {
    let (cpu, started) = (server.cpu_us().await?, Instant::now());
    enqueue_all(server, 0, messages).await?;
    let enqueued = started.elapsed().as_secs_f64();
    promote(&mut server.connection.clone()).await?;
    drain(&server.connection).await?;
    let lived = started.elapsed().as_secs_f64();
    let count = float(messages);
    Ok(Raw {
        enqueue_rate: count / enqueued,
        life_rate: count / lived,
        life_us: (server.cpu_us().await? - cpu) / count,
    })
}

/// What a message costs Redis beside so many that wait: enqueued, promoted, drained; CPU in microseconds.
pub(super) async fn beside(
    server: &mut Server,
    backlog: usize,
    measured: usize,
) -> Result<[f64; 3]> {
    enqueue_all(server, ANOTHER_DAY, backlog).await?;
    let mut read_us = vec![server.cpu_us().await?];
    enqueue_all(server, 0, measured).await?;
    read_us.push(server.cpu_us().await?);
    promote(&mut server.connection.clone()).await?;
    read_us.push(server.cpu_us().await?);
    drain(&server.connection).await?;
    read_us.push(server.cpu_us().await?);
    Ok([0, 1, 2].map(|step| (read_us[step + 1] - read_us[step]) / float(measured)))
}
