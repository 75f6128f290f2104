/**
 * What the exit status of a command means. The help of the program and the
 * table in docs/operations.md are made from, or compared with, this table.
 */
export const EXIT_CODES = {
  ok: { code: 0, meaning: "done" },
  failed: { code: 1, meaning: "the operation failed or was refused" },
  usage: { code: 2, meaning: "wrong option, argument or configuration; nothing was done" },
  unavailable: { code: 3, meaning: "no broker, or its store, could be reached; the outcome may be unknown" },
  notFound: { code: 4, meaning: "no such task" },
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES]["code"];

/** Codes of errors, from docs/errors.md or the SDK, that have an exit code of their own. */
const BY_ERROR_CODE: Readonly<Record<string, ExitCode>> = {
  INVALID_ARGUMENT: 2,
  TASK_NOT_FOUND: 4,
  UNREACHABLE: 3,
  STORE_UNAVAILABLE: 3,
  STORE_READ_ONLY: 3,
  DRAINING: 3,
  UNAVAILABLE: 3,
  DEADLINE_EXCEEDED: 3,
};

/** The command line is wrong in a way that only the command itself can see. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** The operation failed, for a reason that needs no stack. */
export class CommandError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CommandError";
  }
}

/** An error by which a broker, or the SDK, refused something. */
export interface CodedError extends Error {
  readonly code: string;
  readonly field?: string | undefined;
}

/** Both TaskqueueErrors, the SDK's and the broker's own, without importing either. */
export function isCodedError(error: unknown): error is CodedError {
  return error instanceof Error && error.name === "TaskqueueError" && "code" in error && typeof error.code === "string";
}

/** An error that a child process told of. */
export function codedError(code: string, message: string): CodedError {
  return Object.assign(new Error(message), { name: "TaskqueueError", code });
}

export function exitCodeOf(error: unknown): ExitCode {
  if (isCodedError(error)) return BY_ERROR_CODE[error.code] ?? 1;
  return error instanceof Error && (error.name === "UsageError" || error.name === "ConfigError") ? 2 : 1;
}
