/** The tasks of one `enqueueMany` as bytes, in parts that fit a request. */
import { errorFromUnknown, TaskqueueError } from "./errors.js";
import { LIMITS } from "./limits.js";
import type { EnqueueOptions } from "./options.js";
import { timedId } from "./random.js";
import { checkTaskId, writeTask } from "./task-codec.js";
import type { AnyTopic } from "./topic.js";
import { Writer } from "./wire.js";

/** One task of a call for many. */
export interface TaskToEnqueue {
  readonly input: unknown;
  readonly options: EnqueueOptions | undefined;
}

export interface Part {
  readonly bytes: Buffer;
  /** One for each of its tasks. */
  readonly ids: readonly string[];
  /** Which of the ids were made here. */
  readonly own: readonly boolean[];
}

/**
 * As many tasks as fit one request, from `from` on, and at least one.
 *
 * @throws TaskqueueError naming the item, when one of them is not valid
 */
export function encodePart(topic: AnyTopic, tasks: readonly TaskToEnqueue[], from: number, taskBytesMax: number): Part {
  const writer = new Writer();
  const ids: string[] = [];
  const own: boolean[] = [];
  for (const [index, { input, options }] of tasks.slice(from, from + LIMITS.batchTasksMax).entries()) {
    const before = writer.length;
    try {
      const id = options?.id === undefined ? timedId() : checkTaskId(options.id);
      writeTask(writer, topic, id, input, options, taskBytesMax);
      if (writer.length > LIMITS.requestBytesMax && ids.length > 0) {
        writer.truncate(before);
        break;
      }
      ids.push(id);
      own.push(options?.id === undefined);
    } catch (error) {
      throw atItem(from + index, errorFromUnknown(error));
    }
  }
  return { bytes: writer.take(), ids, own };
}

/** The error of the item at `index` of enqueueMany. */
function atItem(index: number, error: TaskqueueError): TaskqueueError {
  const field = `items[${index}]${error.field === undefined ? "" : `.${error.field}`}`;
  return new TaskqueueError(error.code, `item ${index}: ${error.message}`, { field, cause: error });
}
