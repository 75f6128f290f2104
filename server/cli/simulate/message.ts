/**
 * What a simulation and its child processes say to each other, over the pipe
 * that Node makes between them. Messages carry many entries at once.
 */
import type { Plan } from "./plan.js";

/** The parent's words. The first one is `begin`. */
export type ParentMessage =
  | {
      readonly kind: "begin";
      readonly role: "producer";
      readonly plan: Plan;
      readonly index: number;
      readonly count: number;
    }
  | { readonly kind: "begin"; readonly role: "worker"; readonly plan: Plan; readonly index: number }
  /** A producer enqueues no more; a worker closes, with this timeout. */
  | { readonly kind: "stop"; readonly timeoutMs: number };

/** The child's words. */
export type ChildMessage =
  /** A worker is welcome at a broker. */
  | { readonly kind: "ready" }
  /** Task numbers of this producer that were accepted. */
  | { readonly kind: "accepted"; readonly producer: number; readonly numbers: readonly number[] }
  /** What processors did: producer and number in turn. */
  | { readonly kind: "worked"; readonly finished: readonly number[]; readonly failed: number; readonly hung: number }
  /** The process is about to kill itself, as planned. */
  | { readonly kind: "crash" }
  /** All is done, and the process is about to end. */
  | { readonly kind: "done"; readonly aborted: number }
  /** It cannot go on. */
  | { readonly kind: "error"; readonly code: string; readonly message: string };

const KINDS: ReadonlySet<unknown> = new Set(["begin", "stop", "ready", "accepted", "worked", "crash", "done", "error"]);

/** Both ends run the same program, so that the kind vouches for the rest. */
export function isParentMessage(value: unknown): value is ParentMessage {
  return isMessage(value);
}

/** See isParentMessage. */
export function isChildMessage(value: unknown): value is ChildMessage {
  return isMessage(value);
}

function isMessage(value: unknown): boolean {
  return typeof value === "object" && value !== null && "kind" in value && KINDS.has(value.kind);
}
