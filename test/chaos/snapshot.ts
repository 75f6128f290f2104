/** The last page of a history: what the store holds when everything has ended, and what it tells of itself. */
import type { Client } from "@taskqueue/sdk";
import { until } from "../support/until.js";
import { type ListedTask, monotonicUs, type Recorder, type TaskStateName } from "./history.js";

const STATES: readonly TaskStateName[] = ["scheduled", "ready", "leased", "dead", "completed", "cancelled"];

/** Until no task waits or runs, or too long; records which. */
export async function awaitQuiet(
  client: Client,
  fate: Recorder,
  { queue = "main", sinceUs = monotonicUs(), timeoutMs }: { queue?: string; sinceUs?: number; timeoutMs: number },
): Promise<void> {
  const afterMs = () => Math.round((monotonicUs() - sinceUs) / 1_000);
  let left = {};
  try {
    await until(
      "everything has ended",
      async () => {
        const { inputQueueSize, workQueueSize, scheduledSize } = (await client.stats()).stats;
        left = { inputQueueSize, workQueueSize, scheduledSize };
        return inputQueueSize + workQueueSize + scheduledSize === 0;
      },
      { timeoutMs },
    );
    fate.record({ kind: "quiet", afterMs: afterMs() }, queue);
  } catch {
    fate.record({ kind: "overdue", afterMs: afterMs(), left }, queue);
  }
}

export async function recordSnapshot(client: Client, fate: Recorder, queue = "main"): Promise<void> {
  const { topics } = await client.stats({ perTopic: true });
  const tasks: ListedTask[] = [];
  for (const { topic } of topics) {
    for (const state of STATES) {
      for await (const task of client.admin.listTasks({ topic, state, pageSize: 1_000 })) {
        const { id, failures, lostLeases, deadReason = "" } = task;
        tasks.push({ id, topic, state, failures, lostLeases, deadReason });
      }
    }
  }
  const figures = topics.map(({ topic, stats }) => {
    const { oldestReadyAgeMs: _, ...counts } = stats;
    return [topic, counts] as const;
  });
  fate.record({ kind: "snapshot", tasks, topics: Object.fromEntries(figures) }, queue);
}
