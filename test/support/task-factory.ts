/**
 * Tasks, sessions and names for tests: valid by default, with whatever a test
 * is about named as an override.
 */
import assert from "node:assert";
import {
  type LeaseToken,
  parseLeaseToken,
  parseSessionId,
  parseTaskId,
  parseTopicName,
  type SessionId,
  type TaskId,
  type TopicName,
} from "../../server/domain/ids.js";
import type { Millis, TaskHead } from "../../server/domain/task.js";
import type { NewSession, NewTask, Subscription } from "../../server/store/store.js";

/** The moment at which tests begin, unless they say otherwise. */
export const NOW: Millis = Date.UTC(2026, 0, 1);

function parsed<Name>(name: Name | undefined, text: string): Name {
  assert(name !== undefined, `not a valid name: ${JSON.stringify(text)}`);
  return name;
}

export const topicName = (text: string): TopicName => parsed(parseTopicName(text), text);
export const taskId = (text: string): TaskId => parsed(parseTaskId(text), text);
export const sessionId = (text: string): SessionId => parsed(parseSessionId(text), text);
export const token = (text: string): LeaseToken => parsed(parseLeaseToken(text), text);

/** A token that no store gives out within a test. */
export const FOREIGN_TOKEN = token("ffffffffffff");

export interface TaskOverrides extends Partial<TaskHead> {
  readonly spec?: Uint8Array | string;
  /** Default: at once. */
  readonly dueAtMs?: Millis;
}

export function newTask(id: string, { spec = id, dueAtMs = 0, ...head }: TaskOverrides = {}): NewTask {
  return {
    id: taskId(id),
    head: { enqueuedAtMs: NOW, priority: 0, externalId: "", retentionMs: 0, ...head },
    spec: typeof spec === "string" ? Buffer.from(spec) : spec,
    dueAtMs,
  };
}

/** `count` tasks with ids that sort in their order: `t0000`, `t0001`, … */
export function newTasks(count: number, overrides: TaskOverrides = {}, prefix = "t"): NewTask[] {
  return Array.from({ length: count }, (_, index) =>
    newTask(`${prefix}${String(index).padStart(4, "0")}`, { spec: "", ...overrides }),
  );
}

export function newSession(id: string, topics: readonly TopicName[], overrides: Partial<NewSession> = {}): NewSession {
  const subscriptions: readonly Subscription[] = topics.map((topic) => ({ topic, concurrency: 0, weight: 1 }));
  return {
    id: sessionId(id),
    secret: `secret of ${id}`,
    worker: "test worker",
    sdk: "test/1.0",
    address: "127.0.0.1:50312",
    broker: "broker-1",
    subscriptions,
    slots: 25,
    startedAtMs: NOW,
    expiresAtMs: NOW + 15_000,
    ...overrides,
  };
}
