// Tidegate's figures of the last `make bench` beside those of a peer.
//
// node table.mjs BENCH_JSON FIGURES OUT_JSON: FIGURES has a line of JSON for each figure and round.
import fs from 'node:fs';

const [bench, figures, out] = process.argv.slice(2);
const suite = JSON.parse(fs.readFileSync(bench));
const lines = fs.readFileSync(figures, 'utf8').trim().split('\n').map((line) => JSON.parse(line));

// What it is called here; the goal and the beginning of what it is called in the suite; the peer's figure.
const ROWS = [
  ['intake in batches of 1,000', '1/s', 1, 'NDJSON intake', 'batched'],
  ['Redis CPU of a message of a batch', 'µs', 1, 'Redis CPU', 'batched_redis_us'],
  ['intake one by one, 64 at once', '1/s', 2, 'single POST', 'single'],
  ['drain of what is due at one instant', '1/s', 3, 'drain', 'drain'],
  ['Redis CPU of a drained message', 'µs', 3, 'Redis CPU', 'drain_redis_us'],
  ['lateness at 2,000 a second, p50', 'ms', 6, 'lateness at', 'late_p50_ms'],
  ['lateness at 2,000 a second, p99', 'ms', 6, 'lateness, p99', 'late_p99_ms'],
  ['Redis bytes of a scheduled message', 'bytes', 7, 'Redis bytes', 'bytes'],
  ['limit of 100/s, worst second', 'calls', 8, '100/s over 1 node(s): worst second', 'worst_second'],
  ['limit of 100/s, worst 100 ms', 'calls', 8, '100/s over 1 node(s): worst 100 ms', 'worst_100_ms'],
  ['idle (10 queues; BullMQ 1)', '% of a core', 9, '10 idle queues: daemon', 'idle'],
];

const short = (value) => (value === undefined ? '' : String(Number(value.toPrecision(3))));
const table = ROWS.map(([what, unit, goal, beginning, key]) => {
  const values = lines.filter((line) => line.key === key).map((line) => line.value).sort((a, b) => a - b);
  const peer = values[Math.floor(values.length / 2)];
  const ours = suite.rows.find((row) => row.goal === goal && row.what.startsWith(beginning))?.ours;
  return { what, unit, tidegate: ours, bullmq: peer, least: values[0], most: values.at(-1) };
});
const cells = table.map((row) => [
  row.what, short(row.tidegate), short(row.bullmq), `${short(row.least)} – ${short(row.most)}`, row.unit,
]);
cells.unshift(['measured', 'Tidegate', 'BullMQ', 'spread', '']);
const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
for (const row of cells) console.log(row.map((cell, at) => cell.padEnd(widths[at])).join('  ').trimEnd());
fs.writeFileSync(out, JSON.stringify({ machine: suite.machine, rows: table }, null, 2));
console.log(`also as JSON: ${out}`);
