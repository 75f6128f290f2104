/** Many workers of ours that have nothing to do, in one process. */
import { defineTopic, Worker } from "@taskqueue/sdk";
import { topicName } from "./body.js";
import { fatal, roleConfig, serve } from "./control.js";

export interface CrowdConfig {
  target: string | string[];
  workers: number;
  /** Each worker serves one of them. */
  topics: number;
}

/** Connections opened at once. */
const BATCH = 50;

const { target, workers: count, topics } = roleConfig<CrowdConfig>();
const workers = Array.from({ length: count }, (_, index) => {
  const worker = new Worker({ address: target, name: `idle-${index}` });
  worker.register(defineTopic(topicName(index % topics)), () => fatal(new Error("nobody enqueues anything")));
  return worker;
});
for (let first = 0; first < count; first += BATCH) {
  await Promise.all(workers.slice(first, first + BATCH).map((worker) => worker.start()));
}

serve({}, () => Promise.all(workers.map((worker) => worker.close())));
