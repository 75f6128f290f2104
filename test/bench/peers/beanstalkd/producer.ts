/** beanstalkd's producer: puts pipelined on one connection. It knows delays of whole seconds only. */
import { topicName } from "../../roles/body.js";
import { runProducer } from "../../roles/producing.js";
import { Connection } from "./connection.js";

const PRIORITY = 1024;
const TIME_TO_RUN_S = 120;

await runProducer(async ({ target }) => {
  const connection = await Connection.open(target);
  await connection.send([`use ${topicName(0)}\r\n`]);
  return {
    enqueue: (bodies, delayMs) => {
      const delayS = Math.round(delayMs / 1000);
      return connection.send(
        bodies.map((body) => {
          const text = JSON.stringify(body);
          return `put ${PRIORITY} ${delayS} ${TIME_TO_RUN_S} ${Buffer.byteLength(text)}\r\n${text}\r\n`;
        }),
      );
    },
    close: async () => connection.close(),
  };
});
