/**
 * The operators' calls: look at tasks, topics and workers, and repair. Each is
 * one bounded call to a broker, or a series of them where more is asked for
 * than one call may do.
 */
import type {
  Listing,
  TaskInfo,
  TaskResult,
  TaskState,
  TopicInfo,
  TopicSettings,
  TopicSettingsChange,
  WorkerInfo,
} from "./task-info.js";
import type { TopicRef } from "./topic.js";

export interface PageOptions {
  /** Items on a page. 1 to 1,000. Default: 100. */
  readonly pageSize?: number;
  /** From the page before. Default: the first page. */
  readonly pageToken?: string;
}

export interface TaskQuery extends PageOptions {
  readonly topic: TopicRef;
  /** Required unless `externalId` is given. */
  readonly state?: TaskState;
  readonly externalId?: string;
}

/** Inspect and repair; `client.admin`. */
export interface Admin {
  /** The task, or undefined when there is none (it never existed, or its retention is over). */
  getTask(topic: TopicRef, id: string): Promise<TaskInfo | undefined>;
  /** The topic's tasks in one state, or with one external id. */
  listTasks(query: TaskQuery): Listing<TaskInfo>;
  /** Puts dead or cancelled tasks back into the input queue. One result per id, in their order. */
  requeue(topic: TopicRef, ids: readonly string[]): Promise<TaskResult[]>;
  /** Puts back all dead tasks; resolves with how many. */
  requeueAllDead(topic: TopicRef): Promise<number>;
  /** Cancels waiting tasks, and asks workers to stop running ones. One result per id, in their order. */
  cancel(topic: TopicRef, ids: readonly string[]): Promise<TaskResult[]>;
  /** Removes tasks for good, unless leased. One result per id, in their order. */
  delete(topic: TopicRef, ids: readonly string[]): Promise<TaskResult[]>;
  /** Removes the tasks in one state, `limit` at most (default: all); resolves with how many, and whether some are left. */
  purge(
    topic: TopicRef,
    state: Exclude<TaskState, "leased">,
    options?: { readonly limit?: number },
  ): Promise<{ readonly deleted: number; readonly more: boolean }>;
  /** All topics, by name. */
  listTopics(options?: PageOptions): Listing<TopicInfo>;
  /** The workers attached to any broker. */
  listWorkers(options?: PageOptions): Listing<WorkerInfo>;
  /** Stops handing out the topic's tasks. */
  pause(topic: TopicRef): Promise<void>;
  /** Hands them out again. */
  resume(topic: TopicRef): Promise<void>;
  /** Changes the settings named; resolves with all that are in force. */
  configure(topic: TopicRef, settings: TopicSettingsChange): Promise<TopicSettings>;
}
