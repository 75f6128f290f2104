/** What ioredis and Redis report, as the operating errors that callers know. */
import { TaskqueueError } from "../../domain/errors.js";

/** How long a caller should wait before it tries again. */
const RETRY_DELAY_MS = 1_000;

/** Redis answers, and will not serve this command now. Scripts may have the word anywhere in their message. */
const REFUSALS = [
  { words: /\bOOM\b/, code: "STORE_FULL", meaning: "Redis is out of memory" },
  { words: /\b(READONLY|MISCONF|NOREPLICAS)\b/, code: "STORE_READ_ONLY", meaning: "Redis accepts no writes" },
  { words: /\b(NOAUTH|WRONGPASS|NOPERM)\b/, code: "STORE_UNAVAILABLE", meaning: "Redis refuses these credentials" },
  {
    words: /\b(LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK)\b|unblocked/,
    code: "STORE_UNAVAILABLE",
    meaning: "Redis is not ready",
  },
] as const;

/**
 * The TaskqueueError for a command that failed; an error that Redis answers with
 * and that is none of the refusals is a bug, and comes back as it is.
 */
export function storeError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TaskqueueError) return error;
  const details = { cause: error, retryDelayMs: RETRY_DELAY_MS };
  if (error.name !== "ReplyError") {
    return new TaskqueueError("STORE_UNAVAILABLE", `Redis does not answer: ${explain(error)}`, details);
  }
  for (const { words, code, meaning } of REFUSALS) {
    if (words.test(error.message)) return new TaskqueueError(code, `${meaning}: ${error.message}`, details);
  }
  return error;
}

/** A cluster's client says only that all nodes failed; why the last one did tells more. */
function explain(error: Error): string {
  const cause = "lastNodeError" in error ? error.lastNodeError : undefined;
  return cause instanceof Error ? `${error.message} ${cause.message}` : error.message;
}
