/**
 * Requests as bytes: lists of small things packed into one argument, which
 * scripts take apart with `struct.unpack`. Measured, that costs half of what an
 * argument for each of them costs the broker, and no more in Redis.
 *
 * Numbers are big-endian. Task ids, session ids and tokens are ASCII.
 */

import assert from "node:assert";
import type { SessionId } from "../../domain/ids.js";
import { LIMITS } from "../../domain/limits.js";
import { charCodeAt } from "../../lib/char-code.js";
import { encodeHead } from "../record.js";
import type { Demand, Failure, LeaseRef, NewTask } from "../store.js";
import type { Argument } from "./script.js";

/** Priorities are stored so that they sort as bytes. */
const PRIORITY_BIAS = 2 ** 31;
const TOKEN_BYTES = 6;
const NOTHING = Buffer.alloc(0);
const NO_ARGUMENTS: readonly Argument[] = [];

export interface PackedTasks {
  readonly packed: Buffer;
  /** Bytes of each record. */
  readonly sizes: readonly number[];
  /** Whether no record says more in its first line than when it was enqueued. */
  readonly allPlain: boolean;
}

/** A byte of length, then the id; 4 bytes of length, then the record. */
export function packTasks(tasks: readonly NewTask[]): PackedTasks {
  let size = 0;
  let allPlain = true;
  const lines = tasks.map(({ head }) => encodeHead(head));
  const sizes = tasks.map(({ id, spec }, i) => {
    const line = at(lines, i);
    if (line.includes("\t")) allPlain = false;
    const bytes = Buffer.byteLength(line) + spec.length;
    size += 5 + id.length + bytes;
    return bytes;
  });
  const packed = Buffer.allocUnsafe(size);
  let end = 0;
  let i = 0;
  for (const { id, spec } of tasks) {
    packed[end] = id.length;
    end = writeText(packed, id, end + 1);
    end = packed.writeUInt32BE(at(sizes, i), end);
    end = writeText(packed, at(lines, i), end);
    packed.set(spec, end);
    end += spec.length;
    i += 1;
  }
  return { packed, sizes, allPlain };
}

export interface PackedExtras {
  readonly count: number;
  readonly packed: Buffer;
}

const NO_EXTRAS: PackedExtras = { count: 0, packed: NOTHING };

/**
 * What is not plain about tasks: 2 bytes of index from 1, 4 of priority, 6 of
 * due moment or 0, 2 of length and the external id. Plain tasks do not appear.
 */
export function packExtras(tasks: readonly NewTask[], now: number): PackedExtras {
  const parts: Buffer[] = [];
  let i = -1;
  for (const { head, dueAtMs } of tasks) {
    i += 1;
    const dueMs = dueAtMs > now ? dueAtMs : 0;
    if (head.priority === 0 && head.externalId === "" && dueMs === 0) continue;
    const externalId = Buffer.from(head.externalId);
    const extra = Buffer.allocUnsafe(14 + externalId.length);
    extra.writeUInt16BE(i + 1, 0);
    extra.writeUInt32BE(head.priority + PRIORITY_BIAS, 2);
    extra.writeUIntBE(dueMs, 6, 6);
    extra.writeUInt16BE(externalId.length, 12);
    extra.set(externalId, 14);
    parts.push(extra);
  }
  return parts.length === 0 ? NO_EXTRAS : { count: parts.length, packed: Buffer.concat(parts) };
}

/** Leases by session, as scripts take them, and where each one of the call went. */
export interface PackedRefs<Ref extends LeaseRef> {
  readonly args: readonly Argument[];
  /** The refs in the order in which they were packed; a lease that comes twice is packed once. */
  readonly packed: readonly Ref[];
  /**
   * Puts what was said of the packed refs into the order of the call. `again`
   * tells the outcome for a lease that came before in the call.
   */
  unpack<Outcome>(outcomes: readonly Outcome[], again?: (outcome: Outcome) => Outcome): readonly Outcome[];
}

/** How many sessions; per session its id, a count, and a byte of length, id and token (6 bytes) for each lease. */
export function packRefs<Ref extends LeaseRef>(refs: readonly Ref[]): PackedRefs<Ref> {
  const [first] = refs;
  // What is usual: one session's leases, each of them once.
  if (first !== undefined && (refs.length === 1 || areOfOneSession(refs, first.session))) {
    const args = [1, first.session, refs.length, packGroup(refs)];
    return { args, packed: refs, unpack: asTheyCame };
  }
  return packMixed(refs);
}

function areOfOneSession(refs: readonly LeaseRef[], session: SessionId): boolean {
  const ids = new Set<string>();
  for (const ref of refs) {
    if (ref.session !== session) return false;
    ids.add(ref.id);
  }
  return ids.size === refs.length;
}

function asTheyCame<Outcome>(outcomes: readonly Outcome[]): readonly Outcome[] {
  return outcomes;
}

function packMixed<Ref extends LeaseRef>(refs: readonly Ref[]): PackedRefs<Ref> {
  const groups = new Map<SessionId, Ref[]>();
  const seen = new Set<string>();
  const isFirst = refs.map((ref) => {
    const key = leaseKey(ref);
    if (seen.has(key)) return false;
    seen.add(key);
    const group = groups.get(ref.session);
    if (group === undefined) groups.set(ref.session, [ref]);
    else group.push(ref);
    return true;
  });
  const args: Argument[] = [groups.size];
  for (const [session, group] of groups) args.push(session, group.length, packGroup(group));
  const packed = [...groups.values()].flat();
  const ranks = new Map(packed.map((ref, rank) => [leaseKey(ref), rank]));
  return {
    args,
    packed,
    unpack: (outcomes, again = (outcome) => outcome) =>
      refs.map((ref, i) => {
        const outcome = at(outcomes, ranks.get(leaseKey(ref)) ?? -1);
        return isFirst[i] === true ? outcome : again(outcome);
      }),
  };
}

/** What tells leases apart within a call. */
export function leaseKey({ id, session, token }: LeaseRef): string {
  return `${id} ${session} ${token}`;
}

function packGroup(refs: readonly LeaseRef[]): Buffer {
  let size = 0;
  for (const { id } of refs) size += 1 + id.length + TOKEN_BYTES;
  const buffer = Buffer.allocUnsafe(size);
  let end = 0;
  for (const { id, token } of refs) {
    buffer[end] = id.length;
    end = writeText(buffer, id, end + 1);
    // Twelve digits: the number they write, in six bytes.
    end += buffer.write(token, end, "hex");
  }
  return buffer;
}

export function at<Item>(items: readonly Item[], i: number): Item {
  const item = items[i];
  assert(item !== undefined);
  return item;
}

/** Session, epoch, limit and bytes of each demand, together not more than a call may hand out. */
export function demandArgs(demands: readonly Demand[] = []): readonly Argument[] {
  const [first] = demands;
  if (first === undefined) return NO_ARGUMENTS;
  let left: number = LIMITS.batchMax;
  const argsOf = ({ session, limit, bytesMax }: Demand) => {
    const granted = Math.min(limit, left);
    left -= granted;
    return [session.id, session.epoch, granted, bytesMax];
  };
  return demands.length === 1 ? argsOf(first) : demands.flatMap(argsOf);
}

/** How many tasks the demands of a call ask for. */
export function wanted(demands: readonly Demand[] = []): number {
  let tasks = 0;
  for (const { limit } of demands) tasks += limit;
  return tasks;
}

/** Of completions that carry a result: 2 bytes of index from 1, 4 of length and the result. */
export function packResults(completions: readonly { readonly result?: Uint8Array }[]): Buffer {
  const parts: Uint8Array[] = [];
  let index = 0;
  for (const { result } of completions) {
    index += 1;
    if (result === undefined) continue;
    const prefix = Buffer.allocUnsafe(6);
    prefix.writeUInt16BE(index, 0);
    prefix.writeUInt32BE(result.length, 2);
    parts.push(prefix, result);
  }
  return parts.length === 0 ? NOTHING : Buffer.concat(parts);
}

/** 6 bytes of due moment, 0 for at once; a byte of length and the reason of death; 4 of length and the error. */
export function packFailures(failures: readonly Failure[], now: number): Buffer {
  return Buffer.concat(
    failures.map(({ error, next }) => {
      const reason = next.kind === "bury" ? next.reason : "";
      const dueMs = next.kind === "retry" && next.dueAtMs > now ? next.dueAtMs : 0;
      const errorBytes = Buffer.byteLength(error);
      const packed = Buffer.allocUnsafe(11 + reason.length + errorBytes);
      packed.writeUIntBE(dueMs, 0, 6);
      packed[6] = reason.length;
      packed.write(reason, 7, "latin1");
      packed.writeUInt32BE(errorBytes, 7 + reason.length);
      packed.write(error, 11 + reason.length);
      return packed;
    }),
  );
}

/** 4 bytes of length and the text, of each. */
export function packTexts(texts: readonly string[]): Buffer {
  return Buffer.concat(
    texts.map((text) => {
      const bytes = Buffer.byteLength(text);
      const packed = Buffer.allocUnsafe(4 + bytes);
      packed.writeUInt32BE(bytes, 0);
      packed.write(text, 4);
      return packed;
    }),
  );
}

/** Returns where the text ends. Short ones, which most are, are written faster here than by a call into the engine. */
export function writeText(buffer: Buffer, text: string, at: number): number {
  const { length } = text;
  if (length > 32) return at + buffer.write(text, at);
  let end = at;
  for (let i = 0; i < length; i++) {
    const code = charCodeAt(text, i);
    if (code > 0x7f) return at + buffer.write(text, at);
    buffer[end++] = code;
  }
  return end;
}
