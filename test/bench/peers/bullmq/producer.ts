/** BullMQ's producer: one queue; many jobs at once go in by addBulk, as its documentation advises. */
import { Queue } from "bullmq";
import { topicName } from "../../roles/body.js";
import { runProducer } from "../../roles/producing.js";
import { connectionTo } from "./connection.js";

await runProducer(async ({ target }) => {
  const queue = new Queue(topicName(0), {
    connection: connectionTo(target),
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
  });
  await queue.waitUntilReady();
  return {
    enqueue: (bodies, delayMs) => {
      const opts = delayMs > 0 ? { delay: delayMs } : {};
      if (bodies.length === 1) return queue.add("task", bodies[0], opts);
      return queue.addBulk(bodies.map((data) => ({ name: "task", data, opts })));
    },
    close: () => queue.close(),
  };
});
