// BullMQ, the most used queue on Redis, by its own advice: jobs removed when complete, lock renewal and
// the stalled check off (in its favour), concurrency 100.
//
// node bullmq.mjs PORT: taking in by addBulk(1000), draining jobs due at one instant, bytes of a delayed
// job, the worst second of a limiter of 100 a second. One line of JSON each.
import { Queue, Worker } from 'bullmq';
import IORedis from 'ioredis';

const JOBS = 100_000;
const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null };
const redis = new IORedis(connection);
const queue = new Queue('bench', {
  connection,
  defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
});
const payload = { p: 'x'.repeat(100) };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const tell = (figure) => console.log(JSON.stringify({ peer: 'bullmq', ...figure }));

async function memory() {
  return Number((await redis.info('memory')).match(/^used_memory:(\d+)/m)[1]);
}

async function fill(dueIn) {
  const due = Date.now() + dueIn;
  for (let from = 0; from < JOBS; from += 1000) {
    const delay = Math.max(1, due - Date.now());
    await queue.addBulk(Array.from({ length: 1000 }, () => ({ name: 'j', data: payload, opts: { delay } })));
  }
  return due;
}

async function intake() {
  const before = await memory();
  const started = performance.now();
  await fill(3_600_000);
  const seconds = (performance.now() - started) / 1000;
  tell({ what: 'addBulk of 1,000', rate: JOBS / seconds });
  tell({ what: 'bytes of a delayed job', bytes: (await memory() - before) / JOBS });
}

async function drain() {
  await redis.flushall();
  const due = await fill(15_000);
  await sleep(Math.max(0, due - Date.now()));
  let done = 0;
  const worker = new Worker('bench', async () => { done += 1; }, {
    connection, concurrency: 100, removeOnComplete: { count: 0 }, skipLockRenewal: true, skipStalledCheck: true,
  });
  const started = performance.now();
  while (done < JOBS) await sleep(10);
  tell({ what: 'drain of 100,000 due at one instant', rate: JOBS / ((performance.now() - started) / 1000) });
  await worker.close();
}

async function limit() {
  await redis.flushall();
  await queue.addBulk(Array.from({ length: 2000 }, () => ({ name: 'j', data: payload })));
  const starts = [];
  const worker = new Worker('bench', async () => { starts.push(performance.now()); }, {
    connection, concurrency: 50, limiter: { max: 100, duration: 1000 },
  });
  await sleep(10_000);
  let worst = 0;
  for (let at = 0, from = 0; at < starts.length; at += 1) {
    while (starts[at] - starts[from] >= 1000) from += 1;
    worst = Math.max(worst, at - from + 1);
  }
  tell({ what: 'worst second of a limit of 100/s', calls: worst });
  await worker.close(true);
}

await intake();
await drain();
await limit();
redis.disconnect();
process.exit(0);
