/** Watchers of ours, in one process, that count what they are told. */
import { Client } from "@taskqueue/sdk";
import { roleConfig, serve } from "./control.js";

export interface WatcherConfig {
  target: string[];
  watchers: number;
}

export interface WatcherState {
  /** Events of tasks, seen by all watchers together. */
  events: number;
  /** How often a watcher was told that it had missed some. */
  gaps: number;
}

const { target, watchers: count } = roleConfig<WatcherConfig>();
const client = new Client({ address: target });
const state: WatcherState = { events: 0, gaps: 0 };
const watches = Array.from({ length: count }, () => client.watch());
for (const watch of watches) {
  void (async () => {
    for await (const { type, dropped } of watch) {
      if (type.startsWith("TASK_")) state.events += 1;
      if (dropped) state.gaps += 1;
    }
  })();
}
await Promise.all(watches.map((watch) => watch.ready));

serve({ state: () => state }, () => client.close());
