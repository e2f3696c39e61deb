// graphile-worker with a task that does nothing: adds JOBS jobs, then works them off and prints how long that took.
//   node run.mjs batched|unbatched JOBS
import { makeWorkerUtils, run } from "graphile-worker";

const [mode, count] = [process.argv[2], Number(process.argv[3])];
const connectionString = process.env.DATABASE_URL;
const concurrency = 24; // as in graphile-worker's own performance test

const utils = await makeWorkerUtils({ connectionString });
await utils.migrate();
await utils.withPgClient((client) =>
  client.query(
    `select count(*) from graphile_worker.add_jobs(array(
       select json_populate_record(null::graphile_worker.job_spec,
         json_build_object('identifier', 'nothing', 'payload', json_build_object('id', n)))
       from generate_series(1, $1::int) n))`,
    [count],
  ),
);
await utils.release();

let done = 0;
let finished;
const all = new Promise((resolve) => (finished = resolve));
const worker = { connectionString, concurrentJobs: concurrency, maxPoolSize: concurrency + 1, pollInterval: 1000 };
if (mode === "batched") {
  Object.assign(worker, { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 });
}
const cpu = process.cpuUsage();
const begin = process.hrtime.bigint();
const runner = await run({
  preset: { worker },
  noHandleSignals: true,
  taskList: {
    nothing: () => {
      if (++done === count) finished();
    },
  },
});
await all;
const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
const used = process.cpuUsage(cpu);
await runner.stop();
console.log(JSON.stringify({ jobs: count, seconds, cpu_seconds: (used.user + used.system) / 1e6 }));
