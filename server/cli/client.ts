/** One connection for the length of one command. */
import { LIMITS } from "../domain/limits.js";
import type { BrokerOptions } from "./argument.js";
import type { BrokerClient, Context } from "./context.js";

/** Connects, calls `use`, and disconnects, whatever happens. */
export async function withClient<Result>(
  context: Context,
  options: Pick<BrokerOptions, "address" | "retryFor">,
  use: (client: BrokerClient) => Promise<Result>,
): Promise<Result> {
  const client = await context.connect({
    address: options.address.split(",").map((address) => address.trim()),
    retryForMs: options.retryFor,
    // How large a task may be is for the broker to say.
    taskBytesMax: LIMITS.taskBytesCeiling,
  });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}
