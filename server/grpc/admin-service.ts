/** AdminService: parse, call, convert. */
import type {
  AdminServiceImplementation,
  ConfigureTopicRequest,
  ListTasksRequest,
  TopicSettings as WireSettings,
} from "@taskqueue/sdk/gen/taskqueue/v1/admin.js";
import { TaskState as WireState } from "@taskqueue/sdk/gen/taskqueue/v1/task.js";
import { invalid, TaskqueueError } from "../domain/errors.js";
import { LIMITS } from "../domain/limits.js";
import { TASK_STATES, type TaskState } from "../domain/states.js";
import type { TopicSettings } from "../domain/topic.js";
import type { Broker } from "../engine/broker.js";
import type { ListQuery } from "../store/store.js";
import { STATES, toScrubProblem, toSettings, toTaskInfo, toTaskResult, toTopicInfo, toWorkerInfo } from "./convert.js";
import { PAGE_TOKEN_RULE, pageSize, pageToken, plainText, taskId, taskIds, topicName, wholeNumber } from "./parse.js";
import { backoffInput } from "./task-input.js";
import { fromTimeout } from "./time.js";

/** Settings that `ConfigureTopicRequest.reset` can name. */
const SETTINGS = {
  num_retries: "numRetries",
  backoff: "backoff",
  timeout: "timeoutMs",
  lost_leases_max: "lostLeasesMax",
  tasks_max: "tasksMax",
  bytes_max: "bytesMax",
} as const satisfies Record<string, keyof TopicSettings>;

export function adminService(broker: Broker): AdminServiceImplementation {
  return {
    async getTask(request) {
      const topic = topicName("topic", request.topic);
      return { task: toTaskInfo(topic, await broker.getTask(topic, taskId("id", request.id))) };
    },

    async listTasks(request) {
      const topic = topicName("topic", request.topic);
      const page = await ofPage(broker.listTasks(topic, listQuery(request)));
      return { tasks: page.rows.map((row) => toTaskInfo(topic, row)), nextPageToken: page.next ?? "" };
    },

    async requeueTasks({ topic, ids, allDead }) {
      const name = topicName("topic", topic);
      if (allDead && ids.length > 0) throw invalid("ids", `${ids.length} ids`, "must be empty with all_dead");
      const which = allDead ? { oldestDead: LIMITS.batchMax } : { ids: taskIds("ids", ids) };
      const answer = await broker.requeue(name, which);
      return { results: results(answer.ids, answer.outcomes), more: answer.more };
    },

    async cancelTasks({ topic, ids }) {
      const parsed = taskIds("ids", ids);
      return { results: results(parsed, await broker.cancel(topicName("topic", topic), parsed)) };
    },

    async deleteTasks({ topic, ids }) {
      const parsed = taskIds("ids", ids);
      return { results: results(parsed, await broker.remove(topicName("topic", topic), parsed)) };
    },

    async purgeTopic({ topic, state, limit }) {
      const count = limit === 0 ? LIMITS.batchMax : wholeNumber("limit", limit, 1, LIMITS.batchMax);
      const known = stateInput("state", state);
      if (known === "leased") throw invalid("state", known, "must be a state in which no worker holds the task");
      return broker.purge(topicName("topic", topic), known, count);
    },

    async listTopics(request) {
      const page = await ofPage(broker.listTopics(paging(request)));
      return { topics: page.rows.map((row) => toTopicInfo(row, broker.now())), nextPageToken: page.next ?? "" };
    },

    async listWorkers(request) {
      const page = await ofPage(broker.listWorkers(paging(request)));
      return { workers: page.rows.map((row) => toWorkerInfo(row, broker.now())), nextPageToken: page.next ?? "" };
    },

    async pauseTopic({ topic }) {
      await broker.configure(topicName("topic", topic), (settings) => ({ ...settings, paused: true }));
      return {};
    },

    async resumeTopic({ topic }) {
      await broker.configure(topicName("topic", topic), (settings) => ({ ...settings, paused: false }));
      return {};
    },

    async configureTopic(request) {
      const topic = topicName("topic", request.topic);
      const change = settingsChange(request);
      return { settings: toSettings(await broker.configure(topic, change)) };
    },

    async scrub({ topic, repair, limit, pageToken }) {
      const piece = await broker.scrub({
        repair,
        limit: limit === 0 ? LIMITS.batchMax : wholeNumber("limit", limit, 1, LIMITS.batchMax),
        ...(topic === "" ? {} : { topic: topicName("topic", topic) }),
        ...(pageToken === "" ? {} : { after: pageToken }),
      });
      return {
        checked: piece.checked,
        problems: piece.problems.map(toScrubProblem),
        nextPageToken: piece.next ?? "",
      };
    },
  };
}

function results(ids: readonly string[], outcomes: readonly Parameters<typeof toTaskResult>[1][]) {
  return outcomes.map((outcome, index) => toTaskResult(ids[index] ?? "", outcome));
}

/** A task's place in a list takes more room than a topic's name or a session's id. */
const TASK_TOKEN_BYTES_MAX = 1_024;
const NAME_TOKEN_BYTES_MAX = 512;

function paging(request: { pageSize: number; pageToken: string }, tokenBytesMax = NAME_TOKEN_BYTES_MAX) {
  const after = pageToken(request.pageToken, tokenBytesMax);
  return { limit: pageSize(request.pageSize), ...(after === "" ? {} : { after }) };
}

/** A cursor that the store refuses came as a page token. */
async function ofPage<Answer>(reading: Promise<Answer>): Promise<Answer> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof TaskqueueError) || error.field !== "after") throw error;
    const message = `page_token: ${PAGE_TOKEN_RULE}`;
    throw new TaskqueueError("INVALID_ARGUMENT", message, { field: "page_token", cause: error });
  }
}

function listQuery(request: ListTasksRequest): ListQuery {
  const externalId = plainText("external_id", request.externalId, LIMITS.externalIdBytesMax);
  const anyState = request.state === WireState.UNSPECIFIED;
  if (anyState && externalId === "") throw invalid("state", "unset", "must be set unless external_id is");
  return {
    ...paging(request, TASK_TOKEN_BYTES_MAX),
    ...(anyState ? {} : { state: stateInput("state", request.state) }),
    ...(externalId === "" ? {} : { externalId }),
  };
}

function stateInput(field: string, state: WireState): TaskState {
  const known = TASK_STATES.find((name) => STATES[name] === state);
  if (known === undefined) throw invalid(field, state, "must be a known state");
  return known;
}

function settingsChange({ settings, reset }: ConfigureTopicRequest): (now: TopicSettings) => TopicSettings {
  const set = settings ? settingsInput(settings) : {};
  const cleared = new Set<string>(reset.map((name, index) => settingName(`reset[${index}]`, name)));
  return (now) => {
    const kept = Object.fromEntries(Object.entries(now).filter(([key]) => !cleared.has(key)));
    return { ...kept, paused: now.paused, ...set };
  };
}

function settingName(field: string, name: string): keyof TopicSettings {
  for (const [known, key] of Object.entries(SETTINGS)) if (known === name) return key;
  throw invalid(field, name, `must be one of ${Object.keys(SETTINGS).join(", ")}`);
}

function settingsInput(wire: WireSettings): Omit<TopicSettings, "paused"> {
  const whole = (field: string, value: number, min: number, max: number) =>
    wholeNumber(`settings.${field}`, value, min, max);
  const { numRetries, backoff, timeout, lostLeasesMax, tasksMax, bytesMax } = wire;
  const large = Number.MAX_SAFE_INTEGER;
  return {
    ...(numRetries === undefined ? {} : { numRetries: whole("num_retries", numRetries, 0, LIMITS.numRetriesMax) }),
    ...(backoff === undefined ? {} : { backoff: backoffInput("settings.backoff", backoff) }),
    ...(timeout === undefined ? {} : { timeoutMs: fromTimeout("settings.timeout", timeout) }),
    ...(lostLeasesMax === undefined
      ? {}
      : { lostLeasesMax: whole("lost_leases_max", lostLeasesMax, 1, LIMITS.lostLeasesMax) }),
    ...(tasksMax === undefined ? {} : { tasksMax: whole("tasks_max", tasksMax, 0, large) }),
    ...(bytesMax === undefined ? {} : { bytesMax: whole("bytes_max", bytesMax, 0, large) }),
  };
}
