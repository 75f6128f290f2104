/** A producer of ours: the SDK's Client. */
import { Client, defineTopic } from "@taskqueue/sdk";
import type { Body } from "./body.js";
import { topicName } from "./body.js";
import { runProducer } from "./producing.js";

await runProducer(async ({ target, topics: topicCount, call }) => {
  const client = new Client({ address: target.split(",") });
  const topics = Array.from({ length: topicCount }, (_, index) => defineTopic<Body>(topicName(index)));
  const topicOf = (n: number) => {
    const topic = topics[n % topicCount];
    if (topic === undefined) throw new Error("there is no topic");
    return topic;
  };
  await client.stats();
  return {
    enqueue: (bodies, delayMs) => {
      const options = delayMs > 0 ? { delayMs } : undefined;
      if (call === "many" && topicCount === 1) return client.enqueueMany(topicOf(0), bodies, options);
      return Promise.all(bodies.map((body) => client.enqueue(topicOf(body[0]), body, options)));
    },
    close: () => client.close(),
  };
});
