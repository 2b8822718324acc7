// BullMQ, the most used queue on Redis, by its own advice: jobs removed when complete, lock renewal and
// the stalled check off (in its favour), concurrency 100.
//
// node bullmq.mjs PORT ROUND SHARE: every figure of one round, a line of JSON each. SHARE is that of the
// suite: one job of so many that a whole measurement takes.
import { Queue, Worker } from 'bullmq';
import IORedis from 'ioredis';

const [port, round, share] = process.argv.slice(2).map(Number);
const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
const redis = new IORedis(connection);
const queue = new Queue('bench', {
  connection,
  defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
});
const fast = {
  connection, concurrency: 100, removeOnComplete: { count: 0 }, skipLockRenewal: true, skipStalledCheck: true,
};
const data = { p: 'x'.repeat(100) };
const HOUR_MS = 3_600_000;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const tell = (key, value) => console.log(JSON.stringify({ key, round, value }));
const count = (whole) => Math.max(1000, Math.floor(whole / share));

async function info(field) {
  return Number((await redis.info()).match(new RegExp(`^${field}:([0-9.]+)`, 'm'))[1]);
}

async function redisMs() {
  return (await info('used_cpu_user') + await info('used_cpu_sys')) * 1000;
}

/** Jobs in bulks of 1,000, each delayed as long as `delayOf` says of its number. */
async function addBulk(jobs, delayOf) {
  for (let from = 0; from < jobs; from += 1000) {
    const bulk = Array.from({ length: 1000 }, (_, at) => {
      const delay = Math.max(1, Math.floor(delayOf(from + at)));
      return { name: 'j', data: { ...data, due: Date.now() + delay }, opts: { delay } };
    });
    await queue.addBulk(bulk);
  }
}

async function intake() {
  const jobs = count(100_000);
  await redis.flushall();
  const [bytes, busy, started] = [await info('used_memory'), await redisMs(), performance.now()];
  await addBulk(jobs, () => HOUR_MS + Math.random() * HOUR_MS);
  tell('batched', jobs / (performance.now() - started) * 1000);
  tell('batched_redis_us', (await redisMs() - busy) * 1000 / jobs);
  tell('bytes', (await info('used_memory') - bytes) / jobs);
}

async function single() {
  const jobs = count(20_000);
  await redis.flushall();
  const started = performance.now();
  let sent = 0;
  await Promise.all(Array.from({ length: 64 }, async () => {
    while (sent < jobs) {
      sent += 1;
      await queue.add('j', data, { delay: HOUR_MS });
    }
  }));
  tell('single', jobs / (performance.now() - started) * 1000);
}

async function drain() {
  const jobs = count(100_000);
  await redis.flushall();
  const due = Date.now() + 2000 + jobs / 10;
  await addBulk(jobs, () => due - Date.now());
  await sleep(due - Date.now());
  let done = 0;
  const [busy, started] = [await redisMs(), performance.now()];
  const worker = new Worker('bench', async () => { done += 1; }, fast);
  while (done < jobs) await sleep(10);
  tell('drain', jobs / (performance.now() - started) * 1000);
  tell('drain_redis_us', (await redisMs() - busy) * 1000 / jobs);
  await worker.close();
}

async function lateness() {
  const jobs = count(20_000);
  await redis.flushall();
  const late = [];
  const due = Date.now() + 3000;
  await addBulk(jobs, (number) => due + number / 2 - Date.now());
  const worker = new Worker('bench', async (job) => { late.push(Date.now() - job.data.due); }, fast);
  while (late.length < jobs) await sleep(50);
  late.sort((a, b) => a - b);
  tell('late_p50_ms', late[Math.floor(jobs * 0.5)]);
  tell('late_p99_ms', late[Math.floor(jobs * 0.99)]);
  await worker.close();
}

function mostWithin(starts, ms) {
  let most = 0;
  for (let at = 0, from = 0; at < starts.length; at += 1) {
    while (starts[at] - starts[from] >= ms) from += 1;
    most = Math.max(most, at - from + 1);
  }
  return most;
}

async function limit() {
  await redis.flushall();
  await queue.addBulk(Array.from({ length: 2000 }, () => ({ name: 'j', data })));
  const starts = [];
  const worker = new Worker('bench', async () => { starts.push(performance.now()); }, {
    connection, concurrency: 50, limiter: { max: 100, duration: 1000 },
  });
  await sleep(10_000);
  tell('worst_second', mostWithin(starts, 1000));
  tell('worst_100_ms', mostWithin(starts, 100));
  await worker.close(true);
}

async function idle() {
  await redis.flushall();
  const worker = new Worker('bench', async () => {}, { connection, concurrency: 100 });
  await sleep(3000);
  const watched = 30_000 / share;
  const [own, busy] = [process.cpuUsage(), await redisMs()];
  await sleep(watched);
  const used = process.cpuUsage(own);
  tell('idle', ((used.user + used.system) / 1000 + await redisMs() - busy) / watched * 100);
  await worker.close(true);
}

for (const measure of [intake, single, drain, lateness, limit, idle]) {
  console.error(`BullMQ, round ${round + 1}: ${measure.name}`);
  await measure();
}
process.exit(0);
