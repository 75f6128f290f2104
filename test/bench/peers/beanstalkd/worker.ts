/**
 * beanstalkd's worker: a connection for each job held, since `reserve` blocks
 * its connection; the delete of one job and the reserve of the next travel
 * together. A job counts as done when its delete was answered.
 */

import { type Body, topicName } from "../../roles/body.js";
import { fatal } from "../../roles/control.js";
import { runWorker } from "../../roles/working.js";
import { Connection } from "./connection.js";

await runWorker(async ({ target, concurrency, connections: count = concurrency }, handle, settled) => {
  const connections = await Promise.all(
    Array.from({ length: Math.min(count, concurrency) }, () => Connection.open(String(target))),
  );
  let closing = false;
  const loop = async (connection: Connection) => {
    await connection.send([`watch ${topicName(0)}\r\n`]);
    let [job] = await connection.send(["reserve\r\n"]);
    while (job !== undefined) {
      const [n, callUs, dueUs] = JSON.parse(job.data) as Body;
      await handle(n, callUs, dueUs);
      const id = job.rest.split(" ")[0];
      const [deleted, reserved] = connection.post([`delete ${id}\r\n`, "reserve\r\n"]);
      // The answer to `reserve` may take for ever.
      await deleted;
      settled(1);
      job = await reserved;
    }
  };
  for (const connection of connections) {
    loop(connection).catch((error: unknown) => {
      if (!closing) fatal(error);
    });
  }
  return {
    close: async () => {
      closing = true;
      for (const connection of connections) connection.close();
    },
  };
});
