/** Wrapper of enqueue.lua. */
import type { Demand, EnqueueAnswer, NewTask } from "../../store.js";
import { decodeLeaseAnswer, type FreshTask, leaseFresh, number, text } from "../codec.js";
import { demandArgs, packExtras, packTasks, wanted } from "../packing.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

interface EnqueueRequest extends TopicCall {
  readonly now: number;
  /** No id twice. */
  readonly tasks: readonly NewTask[];
  readonly endedWindowMs: number;
  readonly tasksMax: number;
  readonly bytesMax: number;
  readonly demands?: readonly Demand[];
}

export interface EnqueueCall extends EnqueueRequest {
  readonly packed: ReturnType<typeof packTasks>;
  readonly extras: ReturnType<typeof packExtras>;
}

export function enqueueCall(request: EnqueueRequest): EnqueueCall {
  const { topic, now, tasks, endedWindowMs, tasksMax, bytesMax, demands = [] } = request;
  const packed = packTasks(tasks);
  const extras = packExtras(tasks, now);
  return { topic, now, tasks, endedWindowMs, tasksMax, bytesMax, demands, packed, extras };
}

/** Whether the tasks break a bound by themselves. */
export function exceedsBounds({ tasks, packed, tasksMax, bytesMax }: EnqueueCall): boolean {
  const bytes = packed.sizes.reduce((sum, size) => sum + size, 0);
  return (tasksMax > 0 && tasks.length > tasksMax) || (bytesMax > 0 && bytes > bytesMax);
}

export const enqueue = defineTopicScript<EnqueueCall, EnqueueAnswer>({
  name: "enqueue",
  tasks: (call) => call.tasks.length + wanted(call.demands),
  argv: {
    ended_window_ms: (call) => call.endedWindowMs,
    tasks_max: (call) => call.tasksMax,
    bytes_max: (call) => call.bytesMax,
    count: (call) => call.tasks.length,
    tasks: (call) => call.packed.packed,
    all_plain: (call) => (call.packed.allPlain ? 1 : 0),
    extras_count: (call) => call.extras.count,
    extras: (call) => call.extras.packed,
    demands: (call) => demandArgs(call.demands),
  },
  reply: (word, rest, call) => {
    switch (word) {
      case "straight": {
        const created = call.tasks.map(() => true);
        const sessions = call.tasks.flatMap(() => call.demands?.[0]?.session.id ?? []);
        const handout = { leasedAtMs: call.now, firstToken: number(rest[0]), sessions };
        return {
          kind: "enqueued",
          created,
          leased: leaseFresh(handout, freshTasks(call, created)),
          ready: 0,
          lostSessions: [],
        };
      }
      case "enqueued": {
        const digits = text(rest[0]);
        const created = call.tasks.map((_, i) => digits === "" || digits[i] === "1");
        const fresh = number(rest[1]) === 1 ? freshTasks(call, created) : undefined;
        const { leased, ready, lostSessions } = decodeLeaseAnswer(rest, 2, call, fresh);
        return { kind: word, created, leased, ready, lostSessions };
      }
      case "full":
        return { kind: word, tasks: number(rest[0]), bytes: number(rest[1]) };
      default:
        return unexpected("enqueue", word);
    }
  },
});

/** The new tasks that are ready, in order: what the script hands out when nothing is before them in the queue. */
function freshTasks({ tasks, packed, now }: EnqueueCall, created: readonly boolean[]): FreshTask[] {
  const fresh: FreshTask[] = [];
  for (const [i, task] of tasks.entries()) {
    if (created[i] === true && task.dueAtMs <= now) fresh.push({ task, bytes: packed.sizes[i] ?? 0 });
  }
  return fresh;
}
