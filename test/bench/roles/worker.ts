/** Workers of ours: the SDK's Worker, one or many in this process. */
import { defineTopic, Worker } from "@taskqueue/sdk";
import { type Body, topicName } from "./body.js";
import { runWorker } from "./working.js";

/** What one worker may subscribe to. */
const TOPICS_MAX = 1_000;

await runWorker(async ({ target, topics, concurrency, workers: workerCount }, handle, settled) => {
  const share = Math.ceil(concurrency / workerCount);
  const workers: Worker[] = [];
  for (let index = 0; index < workerCount; index += 1) {
    const worker = new Worker({ address: target, concurrency: Math.min(10_000, share), name: `bench-${index}` });
    // Every worker serves all topics, or as many of them as it may.
    const first = topics <= TOPICS_MAX ? 0 : (index * TOPICS_MAX) % topics;
    for (let topic = first; topic < Math.min(topics, first + TOPICS_MAX); topic += 1) {
      worker.register(defineTopic<Body>(topicName(topic)), ([n, callUs, dueUs]) => handle(n, callUs, dueUs));
    }
    worker.on("settled", ({ reports }) => settled(reports));
    workers.push(worker);
  }
  await Promise.all(workers.map((worker) => worker.start()));
  return { close: () => Promise.all(workers.map((worker) => worker.close())) };
});
