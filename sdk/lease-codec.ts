/**
 * The messages of the Lease stream as bytes, on the worker's side. Deliveries
 * are read straight into Attempts, and reports written straight from them: these
 * are the messages that pass for every task.
 */
import { put, readArgs } from "./args.js";
import { CancelReason, type Hello, LeaseRequest, Welcome } from "./gen/taskqueue/v1/worker.js";
import { EMPTY_METADATA, type LeasedFields } from "./running-task.js";
import { Reader, readMillis, type Writer, writeMillis } from "./wire.js";

/** The cases of LeaseRequest. */
const UPDATE = 2;

/** What the worker does not report itself: the update's own figures. */
export interface UpdateFigures {
  /** The update's number; 0 when it reports nothing. */
  readonly number: number;
  readonly received: number;
  readonly slots: number | undefined;
  readonly heartbeat: number;
}

export type Report =
  | { readonly kind: "completed"; readonly result: Buffer | undefined }
  | FailedReport
  | { readonly kind: "released" };

export interface FailedReport {
  readonly kind: "failed";
  readonly error: string;
  readonly retryDelayMs: number | undefined;
  readonly doNotRetry: boolean;
}

export interface Reported {
  readonly leaseToken: string;
  readonly report: Report;
}

export interface ProgressOf {
  readonly leaseToken: string;
  readonly fraction: number;
  readonly message: string;
}

/** Everything a LeaseResponse may carry; absent parts are empty, 0 or undefined. */
export interface LeaseMessage<Task> {
  welcome: Welcome | undefined;
  delivery: number;
  leased: Task[];
  settled: number;
  lost: string[];
  cancel: { readonly leaseToken: string; readonly timeout: boolean }[];
  /** Milliseconds until the broker closes the stream. */
  drainMs: number | undefined;
  heartbeat: number;
}

export function encodeHello(hello: Hello): Buffer {
  return Buffer.from(LeaseRequest.encode({ message: { $case: "hello", value: hello } }).finish());
}

export function encodeGoodbye(): Buffer {
  return Buffer.from(LeaseRequest.encode({ message: { $case: "goodbye", value: {} } }).finish());
}

/** Begins an update; reports follow, and `endUpdate`. */
export function beginUpdate(writer: Writer, figures: UpdateFigures): number {
  const start = writer.begin(UPDATE);
  if (figures.number !== 0) writer.uint(1, figures.number);
  if (figures.received !== 0) writer.uint(2, figures.received);
  if (figures.slots !== undefined) writer.uint(3, figures.slots);
  if (figures.heartbeat !== 0) writer.uint(9, figures.heartbeat);
  return start;
}

export function writeReport(writer: Writer, { leaseToken, report }: Reported): void {
  switch (report.kind) {
    case "completed": {
      const start = writer.begin(4);
      writer.string(1, leaseToken);
      // Written as field 2 by the one who encoded it.
      if (report.result !== undefined) writer.raw(report.result);
      writer.end(start);
      return;
    }
    case "failed": {
      const start = writer.begin(5);
      writer.string(1, leaseToken);
      if (report.error !== "") writer.string(2, report.error);
      if (report.retryDelayMs !== undefined) writeMillis(writer, 3, report.retryDelayMs);
      if (report.doNotRetry) writer.uint(4, 1);
      writer.end(start);
      return;
    }
    case "released":
      writer.string(6, leaseToken);
      return;
    default:
      report satisfies never;
  }
}

export function writeProgress(writer: Writer, progress: ProgressOf): void {
  const start = writer.begin(7);
  writer.string(1, progress.leaseToken);
  const inner = writer.begin(2);
  if (progress.fraction !== 0) writer.double(1, progress.fraction);
  if (progress.message !== "") writer.string(2, progress.message);
  writer.end(inner);
  writer.end(start);
}

/** Reads a LeaseResponse, each leased task into a fresh object of the caller's. */
export function readLeaseMessage<Task extends LeasedFields>(bytes: Buffer, fresh: () => Task): LeaseMessage<Task> {
  const message: LeaseMessage<Task> = {
    welcome: undefined,
    delivery: 0,
    leased: [],
    settled: 0,
    lost: [],
    cancel: [],
    drainMs: undefined,
    heartbeat: 0,
  };
  const reader = new Reader(bytes);
  let topic = "";
  while (reader.next(reader.length)) {
    switch (reader.field) {
      case 1:
        message.welcome = Welcome.decode(reader.bytes());
        break;
      case 2:
        message.delivery = reader.uint();
        break;
      case 3: {
        const task = fresh();
        readLeasedTask(reader, task, topic);
        topic = task.topic;
        message.leased.push(task);
        break;
      }
      case 4:
        message.settled = reader.uint();
        break;
      case 5:
        message.lost.push(reader.string());
        break;
      case 6:
        message.cancel.push(readCancel(reader));
        break;
      case 7:
        message.drainMs = readDrain(reader);
        break;
      case 8:
        message.heartbeat = reader.uint();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

function readLeasedTask(reader: Reader, task: LeasedFields, likelyTopic: string): void {
  const end = reader.block();
  while (reader.next(end)) {
    switch (reader.field) {
      case 1:
        readTaskGuarded(reader, task, likelyTopic);
        break;
      case 2:
        task.leaseToken = reader.string();
        break;
      case 3:
        task.attempt = reader.int32();
        break;
      case 4:
        task.failures = reader.int32();
        break;
      case 5:
        task.ageMs = readMillis(reader);
        break;
      case 6:
        task.timeoutMs = readMillis(reader);
        break;
      default:
        reader.skip();
    }
  }
}

/** A task that cannot be read fails its own attempt, not the delivery. */
function readTaskGuarded(reader: Reader, task: LeasedFields, likelyTopic: string): void {
  const { at } = reader;
  const end = reader.block();
  reader.at = at;
  try {
    readTask(reader, task, likelyTopic);
  } catch (error) {
    task.unreadable = error instanceof Error ? error : new Error(String(error));
    reader.at = end;
  }
}

function readTask(reader: Reader, task: LeasedFields, likelyTopic: string): void {
  const end = reader.block();
  while (reader.next(end)) {
    switch (reader.field) {
      case 1:
        task.topic = reader.repeatedString(likelyTopic);
        break;
      case 2:
        task.id = reader.string();
        break;
      case 3:
        task.args = readArgs(reader);
        break;
      case 4:
        task.payload = reader.bytes();
        break;
      case 5:
        task.contentType = reader.string();
        break;
      case 6:
        task.externalId = reader.string();
        break;
      case 12:
        readMetadataEntry(reader, task);
        break;
      case 14:
        task.retained = readMillis(reader) > 0;
        break;
      default:
        reader.skip();
    }
  }
}

function readMetadataEntry(reader: Reader, task: LeasedFields): void {
  const end = reader.block();
  let key = "";
  let value = "";
  while (reader.next(end)) {
    if (reader.field === 1) key = reader.string();
    else if (reader.field === 2) value = reader.string();
    else reader.skip();
  }
  if (task.metadata === EMPTY_METADATA) task.metadata = {};
  put(task.metadata, key, value);
}

function readCancel(reader: Reader): { leaseToken: string; timeout: boolean } {
  const end = reader.block();
  let leaseToken = "";
  let timeout = false;
  while (reader.next(end)) {
    if (reader.field === 1) leaseToken = reader.string();
    else if (reader.field === 2) timeout = reader.uint() === CancelReason.TIMEOUT;
    else reader.skip();
  }
  return { leaseToken, timeout };
}

function readDrain(reader: Reader): number {
  const end = reader.block();
  let ms = 0;
  while (reader.next(end)) {
    if (reader.field === 1) ms = readMillis(reader);
    else reader.skip();
  }
  return ms;
}
