/**
 * scrub: proves that the tables of a topic agree, a piece per call.
 *
 * What a task is, and its state, is told by its body; the status, the indexes
 * and the figures can be made from the bodies, and are put right by them. So a
 * walk looks at statuses first (each must have its body), then at the bodies by
 * state (each must have its status and its entries in the indexes), then at the
 * indexes, at last at the figures. It trusts nothing: the asserting functions
 * of moves.ts and ready-queue.ts are used only on what was looked at before.
 */
import type { SessionId, TaskId } from "../../domain/ids.js";
import type { ScrubAnswer, ScrubOptions, ScrubProblem, ScrubProblemKind } from "../store.js";
import {
  BODY,
  type Body,
  decodeBody,
  decodeStatus,
  encodeParked,
  encodeQueued,
  idAfter,
  idOfBody,
  type ParkedState,
  parkedState,
  STATE,
  type Status,
  scratch,
  scratchUpTo,
  sessionIn,
} from "./body-codec.js";
import type { Change } from "./change.js";
import type { Row, Table } from "./database.js";
import { entriesOf } from "./entries.js";
import {
  bound,
  comparePlaces,
  externalKey,
  nameKey,
  numberKey,
  parkedKey,
  placeKey,
  RETENTION_PLACE_AT,
  retentionKey,
  successor,
  textKey,
  topicBounds,
  writeUint48,
} from "./keys.js";
import { type Lease, settleGroup } from "./leases.js";
import { headOf, putReady } from "./moves.js";
import { removeReady } from "./ready-queue.js";
import {
  begin,
  COUNTED,
  type Counted,
  decodeWalk,
  encodeWalk,
  fingerprint,
  SECTIONS,
  type Walk,
} from "./scrub-walk.js";
import { expire } from "./settle.js";

const SIZE_OF = {
  scheduled: "scheduled",
  dead: "dead",
  completed: "completedKept",
  cancelled: "cancelledKept",
} as const satisfies Record<ParkedState, keyof Counted>;

export function scrub(change: Change, options: ScrubOptions): ScrubAnswer {
  const { topic } = change;
  if (topic.number === 0) return { checked: 0, problems: [] };
  const walk = options.after === undefined ? begin(change) : decodeWalk(change, options.after);
  const scrubber = new Scrubber(change, options);
  while (walk.section !== "end" && scrubber.checked < options.limit) scrubber.piece(walk);
  scrubber.releaseOrphans();
  const { checked, problems } = scrubber;
  return { checked, problems, ...(walk.section === "end" ? {} : { next: encodeWalk(change, walk) }) };
}

/** One call's part of a walk. */
class Scrubber {
  checked = 0;
  readonly problems: ScrubProblem[] = [];
  readonly #change: Change;
  readonly #options: ScrubOptions;
  readonly #orphaned = new Set<SessionId>();

  constructor(change: Change, options: ScrubOptions) {
    this.#change = change;
    this.#options = options;
  }

  piece(walk: Walk): void {
    const { tables } = this.#change;
    switch (walk.section) {
      case "leased":
        this.#rows(walk, tables.leased, (row) => this.#leased(row, walk));
        return;
      case "status":
        this.#rows(walk, tables.status, (row) => this.#status(row));
        return;
      case "ready":
        this.#rows(walk, tables.ready, (row) => this.#ready(row, walk));
        return;
      case "parked":
        this.#rows(walk, tables.parked, (row) => this.#parked(row, walk));
        return;
      case "retention":
        this.#rows(walk, tables.retention, (row) => this.#retention(row));
        return;
      case "external":
        this.#rows(walk, tables.external, (row) => this.#external(row));
        return;
      case "figures":
        this.#figures(walk);
        walk.section = "end";
        return;
      case "end":
        return;
      default:
        walk.section satisfies never;
    }
  }

  /** The next rows of the topic in a table, as many as the call may still look at. */
  #rows(walk: Walk, table: Table, look: (row: Row) => void): void {
    const limit = this.#options.limit - this.checked;
    const { start, end } = topicBounds(this.#change.topic.number);
    const from = walk.key === "" ? start : successor(Buffer.from(walk.key, "hex"));
    const rows = table.rows(from, end, limit);
    for (const row of rows) {
      walk.key = Buffer.from(row.key).toString("hex");
      look({ key: bound(row.key), value: row.value });
    }
    // A row may hold many tasks: they are bounded by its size.
    this.checked += rows.length;
    if (rows.length === limit) return;
    walk.section = SECTIONS[SECTIONS.indexOf(walk.section) + 1] ?? "end";
    walk.key = "";
  }

  /** Notes a problem, and says whether to put it right. */
  #found(kind: ScrubProblemKind, id: TaskId | undefined, detail: string, repairable = true): boolean {
    const repaired = repairable && this.#options.repair;
    this.problems.push({ kind, ...(id === undefined ? {} : { id }), detail, repaired });
    return repaired;
  }

  /** A group of leases: its session exists, and memory knows it. */
  #leased({ key, value }: Row, walk: Walk): void {
    const { tables, topic } = this.#change;
    const session = sessionIn(value);
    const number = key.readUIntBE(4, 6);
    const bodies = [...entriesOf(value, 1 + session.length)].map(({ at, end }) => decodeBody(value.subarray(at, end)));
    const held = bodies.filter(({ id, token }) => {
      const lease = topic.leases.get(id);
      return lease?.tokenNumber === token && lease.group.number === number;
    });
    if (tables.session.get(textKey(session)) === undefined) {
      if (this.#options.repair) this.#orphaned.add(session);
      else for (const { id } of held) this.#found("orphan_lease", id, orphanDetail(session));
    }
    for (const body of held) this.#count(walk, "leased", body);
    const strays = bodies.filter((body) => !held.includes(body));
    const isMended = strays
      .map(({ id }) => this.#found("stray_task", id, `in a row of leases, and not leased`))
      .some(Boolean);
    if (!isMended) return;
    for (const body of strays) {
      if (this.#bodyOf(body.id) === undefined) putReady(this.#change, { ...body, token: 0, mark: 0 });
    }
    const lease = held.map(({ id }) => topic.leases.get(id)).find((one) => one !== undefined);
    settleGroup(tables, topic.number, topic.leases, lease?.group ?? { number, session, live: 0, touched: false });
  }

  /** At the end of the call: rows that were read before must be those that are there. */
  releaseOrphans(): void {
    const { now, endedWindowMs } = this.#options;
    const ending = { now, endedWindowMs, charge: "none", undelivered: [], lostLeasesMax: 1, error: "" } as const;
    for (const session of this.#orphaned) {
      const { expired } = expire(this.#change, session, { ...ending, limit: Number.POSITIVE_INFINITY });
      for (const { id } of expired) this.#found("orphan_lease", id, orphanDetail(session));
    }
  }

  #status({ key, value }: Row): void {
    const { tables, topic } = this.#change;
    const id = idAfter(key, 4);
    const status = decodeStatus(value);
    if (status.kind === "gone" || this.#isThere(id, status)) return;
    const lease = topic.leases.get(id);
    if (lease !== undefined && status.kind === "queued") {
      this.#found("ghost_lease", id, `of session ${lease.session}, which is in memory only: restart the broker`, false);
    } else if (this.#found("ghost_entry", id, `${status.kind}, without its task`)) {
      tables.status.remove(nameKey(topic.number, id));
    }
  }

  #ready({ value }: Row, walk: Walk): void {
    for (const body of bodiesIn(value)) {
      const { tables, topic } = this.#change;
      const status = this.#statusOf(body.id);
      const isSame = status?.kind === "queued" && status.place.equals(body.place);
      const other = isSame && !topic.leases.get(body.id) ? undefined : this.#elsewhere(body.id, status);
      if (other === "scheduled" || other === "dead" || other === "completed" || other === "cancelled") {
        // Ready is where it is least lost.
        if (this.#found("two_states", body.id, `ready and ${other}`) && status !== undefined) {
          this.#unpark(status);
          tables.status.put(nameKey(topic.number, body.id), encodeQueued(body.place, 0));
        }
      } else if (other !== undefined) {
        if (this.#found("two_states", body.id, `ready and ${other}`)) {
          removeReady(this.#change, body.place);
          continue;
        }
      } else if (!isSame && this.#found("stray_task", body.id, "ready, and not found by its id")) {
        tables.status.put(nameKey(topic.number, body.id), encodeQueued(body.place, 0));
      }
      this.#count(walk, "ready", body);
      this.#index(body);
    }
  }

  #parked({ key, value }: Row, walk: Walk): void {
    const { tables, topic } = this.#change;
    const state = parkedState(key[4] ?? 0);
    const body = decodeBody(value);
    const status = this.#statusOf(body.id);
    const isSame = status?.kind === state && status.momentMs === body.momentMs && status.place.equals(body.place);
    const other = isSame ? undefined : this.#elsewhere(body.id, status);
    if (other !== undefined && this.#found("two_states", body.id, `${other} and ${state}`)) {
      tables.parked.remove(key);
      return;
    }
    if (!isSame && other === undefined && this.#found("stray_task", body.id, `${state}, and not found by its id`)) {
      tables.status.put(nameKey(topic.number, body.id), encodeParked(state, body.momentMs, 0, body.place));
    }
    if (state === "completed" || state === "cancelled") this.#retained(state, body);
    this.#count(walk, SIZE_OF[state], body);
    this.#index(body);
  }

  /** An ended task will be forgotten in its time. */
  #retained(state: "completed" | "cancelled", body: Body): void {
    const { tables, topic } = this.#change;
    const untilMs = body.momentMs + headOf(this.#change, body).retentionMs;
    const key = bound(retentionKey(topic.number, untilMs, body.place, 0));
    if (tables.retention.get(key) !== undefined) return;
    if (!this.#found("wrong_retention", body.id, `${state}, and would never be forgotten`)) return;
    writeUint48(scratch, body.momentMs, 1);
    scratch[0] = STATE[state];
    tables.retention.put(key, scratchUpTo(7));
  }

  #retention({ key, value }: Row): void {
    const { tables, topic } = this.#change;
    const parked = parkedKey(topic.number, value[0] ?? 0, value.readUIntBE(1, 6), key, RETENTION_PLACE_AT);
    if (tables.parked.get(parked) !== undefined) return;
    if (this.#found("wrong_retention", undefined, "of a task that has not ended")) tables.retention.remove(key);
  }

  #external({ key }: Row): void {
    const length = key.readUInt16BE(4);
    const externalId = key.toString("utf8", 6, 6 + length);
    const id = idAfter(key, 6 + length);
    const body = this.#bodyOf(id);
    if (body !== undefined && headOf(this.#change, body).externalId === externalId) return;
    if (this.#found("wrong_index", id, "an external id without its task")) this.#change.tables.external.remove(key);
  }

  #index(body: Body): void {
    const { tables, topic } = this.#change;
    const { externalId } = headOf(this.#change, body);
    if (externalId === "") return;
    const key = bound(externalKey(topic.number, externalId, body.id));
    if (tables.external.get(key) !== undefined) return;
    if (this.#found("wrong_index", body.id, "not found by its external id")) tables.external.put(key, Buffer.of(0));
  }

  #count({ counted }: Walk, state: keyof Counted, body: Body): void {
    this.checked += 1;
    counted[state] += 1;
    counted.bytes += body.bytes;
    if (state === "leased") this.#index(body);
  }

  /** Sizes and bytes, if nothing changed them while they were counted. */
  #figures({ before, counted }: Walk): void {
    const { figures } = this.#change.topic;
    this.checked += 1;
    if (fingerprint(this.#change) !== before) return;
    for (const name of COUNTED) {
      const kind = name === "bytes" ? "wrong_bytes" : "wrong_count";
      if (figures[name] === counted[name]) continue;
      if (this.#found(kind, undefined, `${name} ${figures[name]}, and the tasks are ${counted[name]}`)) {
        figures[name] = counted[name];
      }
    }
    const { started, completed, retried, failed, released, expired, aborted, leased } = figures;
    const open = started - completed - retried - failed - released - expired - aborted - leased;
    if (open === 0) return;
    const detail = `${started} attempts started, ${started - open - leased} ended and ${leased} run`;
    // Both only rise. An attempt of which no end is known was, as far as anybody can tell, handed back.
    if (this.#found("wrong_count", undefined, detail)) figures[open > 0 ? "released" : "started"] += Math.abs(open);
  }

  #statusOf(id: TaskId): Status | undefined {
    const { tables, topic } = this.#change;
    const row = tables.status.get(nameKey(topic.number, id));
    return row === undefined ? undefined : decodeStatus(row);
  }

  /** Where the task is according to its status or its lease, if its body is really there. */
  #elsewhere(id: TaskId, status: Status | undefined): string | undefined {
    const lease = this.#change.topic.leases.get(id);
    if (lease !== undefined) return "leased";
    if (status === undefined || status.kind === "gone" || !this.#isThere(id, status)) return undefined;
    return status.kind === "queued" ? "ready" : status.kind;
  }

  #isThere(id: TaskId, status: Exclude<Status, { kind: "gone" }>): boolean {
    return this.#bodyAt(id, status) !== undefined;
  }

  #bodyOf(id: TaskId): Body | undefined {
    const lease = this.#change.topic.leases.get(id);
    if (lease !== undefined) return this.#leasedAt(id, lease);
    const status = this.#statusOf(id);
    return status === undefined || status.kind === "gone" ? undefined : this.#bodyAt(id, status);
  }

  #bodyAt(id: TaskId, status: Exclude<Status, { kind: "gone" }>): Body | undefined {
    const { tables, topic } = this.#change;
    if (status.kind !== "queued") {
      const row = tables.parked.get(parkedKey(topic.number, STATE[status.kind], status.momentMs, status.place, 0));
      const body = row && decodeBody(row);
      return body?.id === id ? body : undefined;
    }
    const lease = topic.leases.get(id);
    if (lease !== undefined) return this.#leasedAt(id, lease);
    const start = bound(topicBounds(topic.number).start);
    const row = tables.ready.floor(bound(placeKey(topic.number, status.place, 0)), start);
    return row && find(row.value, 0, id, status.place);
  }

  #leasedAt(id: TaskId, { group, session }: Lease): Body | undefined {
    const { tables, topic } = this.#change;
    const row = tables.leased.get(numberKey(topic.number, group.number));
    return row && find(row, 1 + session.length, id);
  }

  #unpark(status: Status): void {
    if (status.kind === "gone" || status.kind === "queued") return;
    const { tables, topic } = this.#change;
    tables.parked.remove(parkedKey(topic.number, STATE[status.kind], status.momentMs, status.place, 0));
  }
}

function orphanDetail(session: SessionId): string {
  return `of session ${session}, which does not exist`;
}

function* bodiesIn(row: Buffer): Generator<Body> {
  for (const { at, end } of entriesOf(row, 0)) yield decodeBody(row.subarray(at, end));
}

/** The body of an id in a row, at that place if it matters. */
function find(row: Buffer, from: number, id: TaskId, place?: Buffer): Body | undefined {
  for (const { at, end } of entriesOf(row, from)) {
    const fits = place === undefined || comparePlaces(row, at + BODY.place, place, 0) === 0;
    if (fits && idOfBody(row, at) === id) return decodeBody(row.subarray(at, end));
  }
  return undefined;
}
