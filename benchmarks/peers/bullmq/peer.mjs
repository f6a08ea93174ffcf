// BullMQ, driven from outside: `node peer.mjs <command> <redis url> <queue> ...`, one JSON line per result.
//
//   single  url queue count             one `add` after the other, each awaited
//   bulk    url queue count chunk       `addBulk`, `chunk` jobs a call
//   work    url queue records           a worker with concurrency 100; says "ready", ends with its standard input
//   pickup  url queue records count     `add`, wait until the handler's record is there, pause, again
//
// Times are of the monotonic clock, the same that Python reads as `time.monotonic_ns()`.
// A handler leaves a record, the time of its start, 8 bytes at the place of the job's number in a file on tmpfs, so that
// measuring does not load Redis.

import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';

const CONCURRENCY = 100;
const RECORD = 8;

const [command, url, name, ...rest] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };

const now = () => process.hrtime.bigint();
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');
const seconds = (since) => Number(now() - since) / 1e9;

async function single(count) {
  const queue = await warm();
  const start = now();
  for (let n = 0; n < count; n++) await queue.add('noop', { n });
  say({ measured: 'enqueue_single', count, seconds: seconds(start) });
  await queue.close();
}

async function bulk(count, chunk) {
  const queue = await warm();
  const start = now();
  for (let n = 0; n < count; n += chunk) {
    await queue.addBulk(Array.from({ length: Math.min(chunk, count - n) }, (_, i) => ({ name: 'noop', data: { n: n + i } })));
  }
  say({ measured: 'enqueue_bulk', count, seconds: seconds(start) });
  await queue.close();
}

async function warm() {
  const queue = new Queue(name, { connection });
  await queue.waitUntilReady();
  return queue;
}

async function work(records) {
  const file = fs.openSync(records, 'r+');
  const handler = async (job) => {
    const record = Buffer.allocUnsafe(RECORD);
    record.writeBigUInt64LE(now());
    fs.writeSync(file, record, 0, RECORD, job.data.n * RECORD);
  };
  const worker = new Worker(name, handler, { connection, concurrency: CONCURRENCY });
  worker.on('error', (error) => console.error(error));
  await worker.waitUntilReady();
  say({ ready: process.pid });
  process.stdin.resume();
  await new Promise((ended) => process.stdin.on('end', ended));
  await worker.close();
  fs.closeSync(file);
}

async function pickup(records, count) {
  const queue = await warm();
  const file = fs.openSync(records, 'r');
  const record = Buffer.alloc(RECORD);
  const latencies = [];
  for (let n = 0; n < count; n++) {
    const start = now();
    await queue.add('noop', { n });
    while (fs.readSync(file, record, 0, RECORD, n * RECORD) < RECORD || record.readBigUInt64LE() === 0n) await sleep(1);
    latencies.push(Number(record.readBigUInt64LE() - start) / 1e6);
    await sleep(5 + Math.random() * 5);
  }
  say({ measured: 'pickup', count, latencies_ms: latencies });
  await queue.close();
  fs.closeSync(file);
}

const commands = {
  single: () => single(Number(rest[0])),
  bulk: () => bulk(Number(rest[0]), Number(rest[1])),
  work: () => work(rest[0]),
  pickup: () => pickup(rest[0], Number(rest[1])),
};
await commands[command]();
