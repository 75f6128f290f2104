/** BullMQ's worker. A job counts as done when `completed` fires: its move has been stored by then. */
import { Worker } from "bullmq";
import { topicName } from "../../roles/body.js";
import { runWorker } from "../../roles/working.js";
import { connectionTo } from "./connection.js";

await runWorker(async ({ target, concurrency, workers: workerCount }, handle, settled) => {
  const workers = Array.from({ length: workerCount }, () => {
    const worker = new Worker(topicName(0), async ({ data: [n, callUs, dueUs] }) => handle(n, callUs, dueUs), {
      connection: connectionTo(String(target)),
      concurrency: Math.ceil(concurrency / workerCount),
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
    });
    worker.on("completed", () => settled(1));
    return worker;
  });
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  return { close: () => Promise.all(workers.map((worker) => worker.close(true))) };
});
