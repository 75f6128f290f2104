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
import type { ScrubProblem } from "../store/store.js";
import type { EngineContext } from "./context.js";

/** Things to look at in one piece of the duty. */
const PIECE = 500;
/** What a topic costs that holds nothing, compared with a task. */
const TOPIC_WEIGHT = 20;

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

/** Where a walk over topics is: the next piece of a topic, or the topics after one. */
type Position = { readonly topic: TopicName; readonly after?: string } | { readonly behind: string };

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
    const { store, options, now } = this.#context;
    let position: Position | undefined = after === undefined ? first(only) : decodePosition(after, only);
    const problems: TopicProblem[] = [];
    let checked = 0;
    for (let weight = 0; position !== undefined && weight < limit; ) {
      const at: { readonly topic: TopicName; readonly after?: string } | undefined = await this.#topicAt(position);
      if (at === undefined) return { checked, problems };
      const { topic } = at;
      const asked = { now: now(), endedWindowMs: options.endedWindowMs, limit: limit - weight, repair };
      const piece = await store.scrub(topic, { ...asked, ...(at.after === undefined ? {} : { after: at.after }) });
      for (const problem of piece.problems) problems.push(this.#tell({ topic, ...problem }));
      checked += piece.checked;
      weight += piece.checked + TOPIC_WEIGHT;
      if (piece.next !== undefined) position = { topic, after: piece.next };
      else position = only === undefined ? { behind: topic } : undefined;
    }
    return { checked, problems, ...(position === undefined ? {} : { next: encodePosition(position) }) };
  }

  async #topicAt(position: Position): Promise<{ readonly topic: TopicName; readonly after?: string } | undefined> {
    if ("topic" in position) return position;
    const { behind } = position;
    const page = await this.#context.store.topics({ limit: 1, ...(behind === "" ? {} : { after: behind }) });
    const [topic] = page.rows;
    return topic === undefined ? undefined : { topic };
  }

  #tell(problem: TopicProblem): TopicProblem {
    const { topic, kind, id, detail, repaired } = problem;
    this.#context.log.warn({ topic, problem: kind, task: id, detail, repaired }, "the store is not consistent");
    this.#onProblem(problem);
    return problem;
  }
}

function first(topic: TopicName | undefined): Position {
  return topic === undefined ? { behind: "" } : { topic };
}

function encodePosition(position: Position): string {
  const fields = "topic" in position ? [position.topic, position.after ?? null] : [position.behind];
  return Buffer.from(JSON.stringify(fields)).toString("base64url");
}

function decodePosition(cursor: string, only: TopicName | undefined): Position {
  const fields = parse(cursor);
  const [name, after] = fields;
  const topic = typeof name === "string" ? parseTopicName(name) : undefined;
  if (topic !== undefined && (only === undefined || topic === only)) {
    if (fields.length === 1 && only === undefined) return { behind: topic };
    if (fields.length === 2 && after === null) return { topic };
    if (fields.length === 2 && typeof after === "string") return { topic, after };
  }
  throw invalid("page_token", cursor, "must come from the piece before of the same scrub");
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
