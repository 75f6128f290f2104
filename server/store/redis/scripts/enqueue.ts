/** Wrapper of enqueue.lua. */
import assert from "node:assert";
import { leaseToken } from "../../../domain/ids.js";
import type { Demand, EnqueueAnswer, NewTask } from "../../store.js";
import { decodeLeaseAnswer, type FreshTask, number, text } from "../codec.js";
import { demandArgs, packExtras, packTasks, wanted } from "../packing.js";
import { defineTopicScript, type TopicCall, unexpected } from "../script.js";

interface EnqueueRequest extends TopicCall {
  readonly now: number;
  /** No id twice. */
  readonly tasks: readonly NewTask[];
  readonly endedWindowMs: number;
  readonly tasksMax: number;
  readonly bytesMax: number;
  readonly demands?: readonly Demand[] | undefined;
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
      case "straight":
        return wentStraight(call, number(rest[0]));
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

/** All of them are new, and went to the first one who asked. */
function wentStraight({ tasks, packed, demands, now }: EnqueueCall, firstToken: number): EnqueueAnswer {
  const session = demands?.[0]?.session.id;
  assert(session !== undefined, "tasks went straight to nobody");
  const leased = tasks.map(({ id, head, spec }, i) => {
    const token = leaseToken(firstToken + i);
    const bytes = packed.sizes[i] ?? 0;
    return { id, session, token, leasedAtMs: now, head, spec, bytes, failures: 0, lostLeases: 0 };
  });
  return { kind: "enqueued", created: tasks.map(() => true), leased, ready: 0, lostSessions: [] };
}

/** The new tasks that are ready, in order: what the script hands out when nothing is before them in the queue. */
function freshTasks({ tasks, packed, now }: EnqueueCall, created: readonly boolean[]): FreshTask[] {
  const fresh: FreshTask[] = [];
  for (const [i, task] of tasks.entries()) {
    if (created[i] === true && task.dueAtMs <= now) fresh.push({ task, bytes: packed.sizes[i] ?? 0 });
  }
  return fresh;
}
