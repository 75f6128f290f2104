/** EnqueueStreamResponse as the stream needs it: without ids, because every task is sent with one of its own. */
import type { StreamedError } from "./errors.js";
import { Reader, readMillis } from "./wire.js";

export interface EnqueueAnswer {
  /** Positions of the tasks that existed before. */
  readonly existing: readonly number[];
  readonly error: StreamedError | undefined;
}

const ALL_CREATED: EnqueueAnswer = { existing: [], error: undefined };

export function readEnqueueAnswer(bytes: Buffer): EnqueueAnswer {
  if (bytes.length === 0) return ALL_CREATED;
  const reader = new Reader(bytes);
  const existing: number[] = [];
  let error: StreamedError | undefined;
  while (reader.next(reader.length)) {
    if (reader.field === 2) reader.uints(existing);
    else if (reader.field === 3) error = readError(reader);
    else reader.skip();
  }
  return { existing, error };
}

function readError(reader: Reader): StreamedError {
  const end = reader.block();
  const error: { -readonly [Key in keyof StreamedError]: StreamedError[Key] } = {
    code: 0,
    reason: "",
    message: "",
    field: "",
    retryDelayMs: undefined,
  };
  while (reader.next(end)) {
    if (reader.field === 1) error.code = reader.int32();
    else if (reader.field === 2) error.reason = reader.string();
    else if (reader.field === 3) error.message = reader.string();
    else if (reader.field === 4) error.field = reader.string();
    else if (reader.field === 5) error.retryDelayMs = readMillis(reader);
    else reader.skip();
  }
  return error;
}
