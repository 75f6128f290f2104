/**
 * The operators' calls: look at tasks, topics and workers, and repair. Each is
 * one bounded call to a broker, or a series of them where more is asked for
 * than one call may do.
 */
import {
  isTaskState,
  scrubProblemFromWire,
  settingsFromWire,
  settingsToWire,
  stateToWire,
  taskInfoFromWire,
  taskResultFromWire,
  topicInfoFromWire,
  workerInfoFromWire,
} from "./convert.js";
import { TaskqueueError } from "./errors.js";
import type { TaskResult as WireTaskResult } from "./gen/taskqueue/v1/admin.js";
import { TaskState as WireTaskState } from "./gen/taskqueue/v1/task.js";
import { LIMITS } from "./limits.js";
import { integer, invalid, refuseUnknown } from "./options.js";
import type { CallOptions, Rpc } from "./rpc.js";
import type {
  Listing,
  Page,
  ScrubPiece,
  TaskInfo,
  TaskResult,
  TaskState,
  TopicInfo,
  TopicSettings,
  TopicSettingsChange,
  WorkerInfo,
} from "./task-info.js";
import type { TopicRef } from "./topic.js";
import type { Link } from "./transport.js";

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
  /**
   * Proves what the store holds, of a topic or of all, piece by piece: each piece is one bounded call. Only tells what
   * it finds, unless `repair` is set.
   */
  scrub(options?: { readonly topic?: TopicRef; readonly repair?: boolean }): AsyncIterable<ScrubPiece>;
}

/** The operators' calls over a client's connection. */
export class AdminClient implements Admin {
  readonly #rpc: Rpc;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
  }

  async getTask(topic: TopicRef, id: string): Promise<TaskInfo | undefined> {
    try {
      const request = { topic: topicName(topic), id };
      const { task } = await this.#rpc.repeat((link, options) => link.admin.getTask(request, options));
      return task && taskInfoFromWire(task);
    } catch (error) {
      if (error instanceof TaskqueueError && error.code === "TASK_NOT_FOUND") return undefined;
      throw error;
    }
  }

  listTasks({ topic, state, externalId = "", ...paging }: TaskQuery): Listing<TaskInfo> {
    if (state !== undefined) checkState(state);
    const filter = {
      topic: topicName(topic),
      state: state === undefined ? WireTaskState.UNSPECIFIED : stateToWire(state),
      externalId,
    };
    return listing(paging, async (page) => {
      const request = { ...filter, ...page };
      const response = await this.#rpc.repeat((link, options) => link.admin.listTasks(request, options));
      return { items: response.tasks.map(taskInfoFromWire), next: response.nextPageToken };
    });
  }

  requeue(topic: TopicRef, ids: readonly string[]): Promise<TaskResult[]> {
    return this.#inParts(topic, ids, (link, part, options) =>
      link.admin.requeueTasks({ ...part, allDead: false }, options),
    );
  }

  async requeueAllDead(topic: TopicRef): Promise<number> {
    const request = { topic: topicName(topic), ids: [], allDead: true };
    let requeued = 0;
    for (;;) {
      const { results, more } = await this.#rpc.once((link, options) => link.admin.requeueTasks(request, options));
      const done = results.filter((result) => taskResultFromWire(result).outcome === "done").length;
      requeued += done;
      // Without progress another turn would be the same again.
      if (!more || done === 0) return requeued;
    }
  }

  cancel(topic: TopicRef, ids: readonly string[]): Promise<TaskResult[]> {
    return this.#inParts(topic, ids, (link, part, options) => link.admin.cancelTasks(part, options));
  }

  delete(topic: TopicRef, ids: readonly string[]): Promise<TaskResult[]> {
    return this.#inParts(topic, ids, (link, part, options) => link.admin.deleteTasks(part, options));
  }

  async #inParts(
    topic: TopicRef,
    ids: readonly string[],
    call: (link: Link, part: Part, options: CallOptions) => Promise<{ results: WireTaskResult[] }>,
  ): Promise<TaskResult[]> {
    const results: TaskResult[] = [];
    for (let from = 0; from < ids.length; from += LIMITS.batchTasksMax) {
      const part = { topic: topicName(topic), ids: ids.slice(from, from + LIMITS.batchTasksMax) };
      const response = await this.#rpc.once((link, options) => call(link, part, options));
      results.push(...response.results.map(taskResultFromWire));
    }
    return results;
  }

  async purge(
    topic: TopicRef,
    state: Exclude<TaskState, "leased">,
    { limit }: { readonly limit?: number } = {},
  ): Promise<{ readonly deleted: number; readonly more: boolean }> {
    checkState(state);
    const most = integer("limit", limit, Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER);
    const request = { topic: topicName(topic), state: stateToWire(state) };
    let deleted = 0;
    for (;;) {
      const part = { ...request, limit: Math.min(LIMITS.batchTasksMax, most - deleted) };
      const answer = await this.#rpc.once((link, options) => link.admin.purgeTopic(part, options));
      deleted += answer.deleted;
      if (!answer.more || answer.deleted === 0 || deleted >= most) return { deleted, more: answer.more };
    }
  }

  listTopics(paging: PageOptions = {}): Listing<TopicInfo> {
    return listing(paging, async (page) => {
      const response = await this.#rpc.repeat((link, options) => link.admin.listTopics(page, options));
      return { items: response.topics.map(topicInfoFromWire), next: response.nextPageToken };
    });
  }

  listWorkers(paging: PageOptions = {}): Listing<WorkerInfo> {
    return listing(paging, async (page) => {
      const response = await this.#rpc.repeat((link, options) => link.admin.listWorkers(page, options));
      return { items: response.workers.map(workerInfoFromWire), next: response.nextPageToken };
    });
  }

  async pause(topic: TopicRef): Promise<void> {
    await this.#rpc.repeat((link, options) => link.admin.pauseTopic({ topic: topicName(topic) }, options));
  }

  async resume(topic: TopicRef): Promise<void> {
    await this.#rpc.repeat((link, options) => link.admin.resumeTopic({ topic: topicName(topic) }, options));
  }

  async configure(topic: TopicRef, change: TopicSettingsChange): Promise<TopicSettings> {
    refuseUnknown("configure", change, new Set(Object.keys(SETTING_FIELDS)));
    const settings: Record<string, unknown> = {};
    const reset: string[] = [];
    for (const [name, field] of Object.entries(SETTING_FIELDS)) {
      const value: unknown = Reflect.get(change, name);
      if (value === null) reset.push(field);
      else if (value !== undefined) settings[name] = value;
    }
    const request = { topic: topicName(topic), settings: settingsToWire(settings), reset };
    const response = await this.#rpc.repeat((link, options) => link.admin.configureTopic(request, options));
    return settingsFromWire(response.settings);
  }

  async *scrub({ topic, repair = false }: { readonly topic?: TopicRef; readonly repair?: boolean } = {}) {
    const request = { topic: topic === undefined ? "" : topicName(topic), repair, limit: 0 };
    let pageToken = "";
    do {
      const part = { ...request, pageToken };
      const answer = await this.#rpc.repeat((link, options) => link.admin.scrub(part, options));
      yield { checked: answer.checked, problems: answer.problems.map(scrubProblemFromWire) };
      pageToken = answer.nextPageToken;
    } while (pageToken !== "");
  }
}

/** The tasks of one request. */
interface Part {
  readonly topic: string;
  readonly ids: string[];
}

function checkState(state: unknown): void {
  if (!isTaskState(state)) throw invalid("state", state, "must be the name of a state");
}

/** What the settings are called on the wire, for `reset`. */
const SETTING_FIELDS = {
  numRetries: "num_retries",
  backoff: "backoff",
  timeoutMs: "timeout",
  lostLeasesMax: "lost_leases_max",
  tasksMax: "tasks_max",
  bytesMax: "bytes_max",
} as const satisfies Record<keyof TopicSettings, string>;

export function topicName(topic: TopicRef): string {
  return typeof topic === "string" ? topic : topic.name;
}

interface WirePage {
  readonly pageSize: number;
  readonly pageToken: string;
}

function listing<Item>(
  { pageSize, pageToken, ...unknown }: PageOptions,
  fetch: (page: WirePage) => Promise<{ items: Item[]; next: string }>,
): Listing<Item> {
  refuseUnknown("a listing", unknown, new Set());
  const size = integer("pageSize", pageSize, 0, 0, LIMITS.pageSizeMax);
  const pageFrom = async (token: string): Promise<Page<Item>> => {
    const { items, next } = await fetch({ pageSize: size, pageToken: token });
    return { items, nextPageToken: next === "" ? undefined : next };
  };
  return {
    page: () => pageFrom(pageToken ?? ""),
    async *[Symbol.asyncIterator]() {
      let token: string | undefined = pageToken ?? "";
      while (token !== undefined) {
        const page: Page<Item> = await pageFrom(token);
        yield* page.items;
        token = page.nextPageToken;
      }
    },
  };
}
