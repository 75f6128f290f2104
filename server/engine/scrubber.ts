/**
 * Proves the store's invariants, and puts right what can be: a bounded piece at
 * a time, topic after topic, round and round. What it finds is told at once, in
 * the log and by `onProblem`: a problem is the trace of a bug, of a store that
 * lost writes, or of somebody's hand in its keys.
 *
 * The duty and an operator's Scrub do the same; a walk is in its cursor alone.
 */
import { invalid } from "../domain/errors.js";
import { parseTopicName, type TopicName } from "../domain/ids.js";
import type { ScrubAnswer, ScrubProblem } from "../store/store.js";
import type { EngineContext } from "./context.js";

/** Things to look at in one piece of the duty. */
const PIECE = 500;
/** What a topic costs that holds nothing, compared with a task: an idle broker of many topics shall stay idle. */
const TOPIC_WEIGHT = 100;

export interface ScrubRequest {
  /** Unset: all topics. */
  readonly topic?: TopicName;
  /** From the piece before. */
  readonly after?: string;
  readonly limit: number;
  readonly repair: boolean;
}

export interface TopicProblem extends ScrubProblem {
  readonly topic: TopicName;
}

export interface ScrubPiece {
  readonly checked: number;
  readonly problems: readonly TopicProblem[];
  /** Gives the next piece; unset when all was walked through. */
  readonly next?: string;
}

/** Where a walk is: a topic in the middle of which it goes on, and the page of topics that comes then. */
interface Position {
  readonly topic?: TopicName;
  readonly after?: string;
  /** The store's cursor; "" for its first page, unset when no topics are to follow. */
  readonly topicsAfter?: string;
}

export class Scrubber {
  readonly #context: EngineContext;
  readonly #onProblem: (problem: TopicProblem) => void;
  #after: string | undefined;

  constructor(context: EngineContext, onProblem: (problem: TopicProblem) => void) {
    this.#context = context;
    this.#onProblem = onProblem;
  }

  /** The next piece of the walk that has no end. */
  async tick(): Promise<undefined> {
    const after = this.#after;
    // Should this piece fail, the walk begins anew rather than failing for ever.
    this.#after = undefined;
    const piece = await this.scrub({ limit: PIECE, repair: true, ...(after === undefined ? {} : { after }) });
    this.#after = piece.next;
  }

  async scrub({ topic: only, after, limit, repair }: ScrubRequest): Promise<ScrubPiece> {
    let position = after === undefined ? begin(only) : decodePosition(after, only);
    const problems: TopicProblem[] = [];
    let checked = 0;
    for (let weight = 0; weight < limit; ) {
      const at = await this.#topicAt(position);
      if (at.topic === undefined) return { checked, problems };
      const piece = await this.#scrubTopic(at.topic, at.after, limit - weight, repair);
      for (const problem of piece.problems) problems.push(this.#tell({ topic: at.topic, ...problem }));
      checked += piece.checked;
      weight += piece.checked + TOPIC_WEIGHT;
      const { topicsAfter } = at;
      if (piece.next !== undefined) position = { ...at, after: piece.next };
      else if (topicsAfter !== undefined) position = { topicsAfter };
      else return { checked, problems };
    }
    return { checked, problems, next: encodePosition(position) };
  }

  #scrubTopic(topic: TopicName, after: string | undefined, limit: number, repair: boolean): Promise<ScrubAnswer> {
    const { store, options, now } = this.#context;
    const { endedWindowMs } = options;
    return store.scrub(topic, { now: now(), endedWindowMs, limit, repair, ...(after === undefined ? {} : { after }) });
  }

  /** The position with its topic named, if there is one. */
  async #topicAt(position: Position): Promise<Position> {
    const { topic, topicsAfter } = position;
    if (topic !== undefined || topicsAfter === undefined) return position;
    const page = await this.#context.store.topics({ limit: 1, ...(topicsAfter === "" ? {} : { after: topicsAfter }) });
    const [named] = page.rows;
    if (named === undefined) return {};
    return { topic: named, ...(page.next === undefined ? {} : { topicsAfter: page.next }) };
  }

  #tell(problem: TopicProblem): TopicProblem {
    const { topic, kind, id, detail, repaired } = problem;
    this.#context.log.warn({ topic, problem: kind, task: id, detail, repaired }, "the store is not consistent");
    this.#onProblem(problem);
    return problem;
  }
}

function begin(topic: TopicName | undefined): Position {
  return topic === undefined ? { topicsAfter: "" } : { topic };
}

function encodePosition({ topic, after, topicsAfter }: Position): string {
  return Buffer.from(JSON.stringify([topic ?? null, after ?? null, topicsAfter ?? null])).toString("base64url");
}

function decodePosition(cursor: string, only: TopicName | undefined): Position {
  const fields = parse(cursor);
  const [name, after, topicsAfter] = fields.map((field) => (typeof field === "string" ? field : undefined));
  const topic = name === undefined ? undefined : parseTopicName(name);
  const isWalk = fields.length === 3 && (topic !== undefined || (name === undefined && topicsAfter !== undefined));
  if (!isWalk || (only !== undefined && (topic !== only || topicsAfter !== undefined))) {
    throw invalid("page_token", cursor, "must come from the piece before of the same scrub");
  }
  return {
    ...(topic === undefined ? {} : { topic }),
    ...(after === undefined ? {} : { after }),
    ...(topicsAfter === undefined ? {} : { topicsAfter }),
  };
}

function parse(cursor: string): readonly unknown[] {
  try {
    const fields: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    return Array.isArray(fields) ? fields : [];
  } catch {
    // No cursor of ours; the caller says so.
    return [];
  }
}
