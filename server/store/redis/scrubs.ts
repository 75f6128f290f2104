/**
 * A scrub of a topic, piece by piece: first its tasks, then sessions and leases,
 * then whatever else points to tasks, at last the figures. Each piece is one
 * script, and so of one moment; what the walk must remember between them is in
 * the cursor.
 *
 * Sessions are in another slot than their leases. A session's record is there
 * before it holds a topic, and longer: a holder seen first whose record is then
 * not found is over for good, and its leases are nobody's.
 */
import { invalid } from "../../domain/errors.js";
import type { SessionId, TaskId, TopicName } from "../../domain/ids.js";
import { LIMITS } from "../../domain/limits.js";
import type { ScrubAnswer, ScrubOptions, ScrubProblem } from "../store.js";
import { decodeCursor, encodeCursor, list, text } from "./codec.js";
import type { Connection } from "./connection.js";
import type { Keys } from "./keys.js";
import { describe } from "./scripts/describe.js";
import { expire } from "./scripts/expire.js";
import { held } from "./scripts/held.js";
import { scrubCounts } from "./scripts/scrub-counts.js";
import { ENTRY_SECTIONS, scrubEntries } from "./scripts/scrub-entries.js";
import { scrubLeases } from "./scripts/scrub-leases.js";
import { scrubSegments } from "./scripts/scrub-segments.js";
import { scrubStrays } from "./scripts/scrub-strays.js";
import { scrubTasks } from "./scripts/scrub-tasks.js";
import { sessionIds } from "./scrub-codec.js";
import type { Sessions } from "./sessions.js";

const SECTIONS = ["tasks", "holders", "leases", "segments", ...ENTRY_SECTIONS, "counts", "end"] as const;
type Section = (typeof SECTIONS)[number];

/** Where a walk is. */
interface Walk {
  section: Section;
  /** Of HSCAN or ZSCAN within the section, among tasks with its shard; among segments the number of an enqueue. */
  cursor: string;
  /** Among leases: the session. */
  session: string;
  /** How the topic was when the walk began. */
  enqueued: number;
  bytes: number;
  /** What the walk counted. */
  countedTasks: number;
  countedBytes: number;
}

interface Piece {
  readonly checked: number;
  readonly problems: readonly ScrubProblem[];
}

const CURSOR_START = "0";
/** Of one script: nobody waits for Redis longer than for any other verb. */
const PORTION_MAX = 100;

export class Scrubs {
  readonly #connection: Connection;
  readonly #keys: Keys;
  readonly #sessions: Sessions;

  constructor(connection: Connection, keys: Keys, sessions: Sessions) {
    this.#connection = connection;
    this.#keys = keys;
    this.#sessions = sessions;
  }

  async scrub(topic: TopicName, options: ScrubOptions): Promise<ScrubAnswer> {
    const walk = options.after === undefined ? await this.#begin(topic) : decodeWalk(topic, options.after);
    const problems: ScrubProblem[] = [];
    let checked = 0;
    while (walk.section !== "end" && checked < options.limit) {
      const piece = await this.#piece(topic, walk, {
        ...options,
        limit: Math.min(PORTION_MAX, options.limit - checked),
      });
      problems.push(...piece.problems);
      checked += piece.checked;
    }
    return { checked, problems, ...(walk.section === "end" ? {} : { next: encodeWalk(topic, walk) }) };
  }

  async #begin(topic: TopicName): Promise<Walk> {
    const { stats } = await this.#connection.run(describe, { topic });
    const { enqueued, bytes } = stats;
    const counted = { countedTasks: 0, countedBytes: 0 };
    return { section: "tasks", cursor: CURSOR_START, session: "", enqueued, bytes, ...counted };
  }

  /** Does one step of the walk, and moves it on. */
  async #piece(topic: TopicName, walk: Walk, options: ScrubOptions): Promise<Piece> {
    const { now, repair, limit } = options;
    const call = { topic, now, repair, limit };
    const { section } = walk;
    switch (section) {
      case "tasks":
        return this.#tasks(topic, walk, options);
      case "holders": {
        const piece = await this.#holders(topic, options);
        enter(walk, after("holders"));
        return piece;
      }
      case "leases":
        return this.#leases(topic, walk, options);
      case "counts": {
        const { enqueued, bytes, countedTasks, countedBytes } = walk;
        const figures = { enqueued, bytes, countedTasks, countedBytes };
        enter(walk, "end");
        return { checked: 1, problems: await this.#connection.run(scrubCounts, { ...call, ...figures }) };
      }
      case "end":
        return { checked: 0, problems: [] };
      default: {
        const { cursor } = walk;
        const portion = await (section === "segments"
          ? this.#connection.run(scrubSegments, { ...call, cursor })
          : this.#connection.run(scrubEntries, { ...call, section, cursor }));
        walk.cursor = portion.cursor;
        if (portion.cursor === CURSOR_START) enter(walk, after(section));
        return portion;
      }
    }
  }

  async #tasks(topic: TopicName, walk: Walk, options: ScrubOptions): Promise<Piece> {
    const { now, repair, limit } = options;
    const portion = await this.#connection.run(scrubTasks, { topic, now, repair, limit, cursor: walk.cursor });
    walk.countedTasks += portion.checked;
    walk.countedBytes += portion.bytes;
    walk.cursor = portion.cursor;
    if (portion.cursor === CURSOR_START) enter(walk, after("tasks"));
    const strays = portion.strays.length === 0 ? [] : await this.#strays(topic, portion.strays, options);
    return { checked: portion.checked, problems: [...portion.problems, ...strays] };
  }

  /** Tasks in no state may be leased by a session that is no holder: one looks everywhere before they are made ready. */
  async #strays(topic: TopicName, ids: readonly TaskId[], options: ScrubOptions): Promise<readonly ScrubProblem[]> {
    const { now, repair, limit } = options;
    const sessions: SessionId[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.#sessions.page({ limit: LIMITS.pageSizeMax, ...(after === undefined ? {} : { after }) });
      for (const { id } of page.rows) sessions.push(id);
      if (page.next === undefined) break;
      after = page.next;
    }
    const found = await this.#connection.run(scrubStrays, { topic, now, repair, limit, sessions, ids });
    const problems = [...found.problems];
    for (const session of found.hidden) {
      const detail = `of session ${session}, which is not open on the topic`;
      problems.push(...(await this.#orphans(topic, session, detail, options)));
    }
    return problems;
  }

  async #holders(topic: TopicName, options: ScrubOptions): Promise<Piece> {
    const holders = await this.#holdersOf(topic);
    const problems: ScrubProblem[] = [];
    for (let from = 0; from < holders.length; from += LIMITS.batchMax) {
      const some = holders.slice(from, from + LIMITS.batchMax);
      const records = list(await this.#connection.command("hmget", [this.#keys.sessionStates, ...some]));
      for (const [index, session] of some.entries()) {
        if (records[index] !== null) continue;
        problems.push(...(await this.#orphans(topic, session, `of session ${session}, which does not exist`, options)));
      }
    }
    return { checked: holders.length, problems };
  }

  async #holdersOf(topic: TopicName): Promise<readonly SessionId[]> {
    return sessionIds(await this.#connection.command("hkeys", [this.#keys.holders(topic)]));
  }

  /** Leases whose session will never end them. */
  async #orphans(
    topic: TopicName,
    session: SessionId,
    detail: string,
    { now, endedWindowMs, repair }: ScrubOptions,
  ): Promise<readonly ScrubProblem[]> {
    const problem = (id: TaskId): ScrubProblem => ({ kind: "orphan_lease", id, detail, repaired: repair });
    if (!repair) {
      const leases = await this.#connection.run(held, { topic, session });
      return leases.kind === "ids" ? leases.ids.map(problem) : [];
    }
    const ending = { charge: "none", undelivered: [], lostLeasesMax: 1, error: "", limit: LIMITS.batchMax } as const;
    const problems: ScrubProblem[] = [];
    for (let more = true; more; ) {
      const answer = await this.#connection.run(expire, { topic, session, now, endedWindowMs, ...ending });
      for (const { id } of answer.expired) problems.push(problem(id));
      more = answer.more;
    }
    return problems;
  }

  async #leases(topic: TopicName, walk: Walk, { now, repair, limit }: ScrubOptions): Promise<Piece> {
    const holders = [...(await this.#holdersOf(topic))].sort();
    // Within a session's leases the cursor is that of HSCAN; between sessions it is at the start.
    let isWithin = walk.cursor !== CURSOR_START;
    const problems: ScrubProblem[] = [];
    let checked = 0;
    for (const session of holders) {
      if (session < walk.session || (session === walk.session && !isWithin)) continue;
      if (checked >= limit) return { checked, problems };
      if (session !== walk.session) walk.cursor = CURSOR_START;
      walk.session = session;
      do {
        const { cursor } = walk;
        const portion = await this.#connection.run(scrubLeases, { topic, now, repair, limit, session, cursor });
        walk.cursor = portion.cursor;
        checked += 1 + portion.checked;
        problems.push(...portion.problems);
        isWithin = walk.cursor !== CURSOR_START;
      } while (isWithin && checked < limit);
      if (isWithin) return { checked, problems };
    }
    enter(walk, after("leases"));
    return { checked, problems };
  }
}

function enter(walk: Walk, section: Section): void {
  walk.section = section;
  walk.cursor = CURSOR_START;
  walk.session = "";
}

function after(section: Section): Section {
  return SECTIONS[SECTIONS.indexOf(section) + 1] ?? "end";
}

const FIGURES = ["enqueued", "bytes", "countedTasks", "countedBytes"] as const;

function encodeWalk(topic: TopicName, walk: Walk): string {
  const parts = [walk.section, walk.cursor, walk.session, ...FIGURES.map((name) => String(walk[name]))];
  return encodeCursor(
    `scrub ${topic}`,
    parts.map((part) => Buffer.from(part, "latin1")),
  );
}

function decodeWalk(topic: TopicName, cursor: string): Walk {
  const parts = decodeCursor(`scrub ${topic}`, 3 + FIGURES.length, cursor).map((part) => text(part));
  const [word, scan = "", session = "", ...figures] = parts;
  const section = SECTIONS.find((name) => name === word);
  if (section === undefined || !/^(\d+:)?\d+$/.test(scan) || !figures.every((figure) => /^\d+$/.test(figure))) {
    throw invalid("page_token", cursor, "must come from the piece before of the same scrub");
  }
  const [enqueued = 0, bytes = 0, countedTasks = 0, countedBytes = 0] = figures.map(Number);
  return { section, cursor: scan, session, enqueued, bytes, countedTasks, countedBytes };
}
