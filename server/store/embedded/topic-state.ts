/**
 * What is kept in memory of a topic: its figures, its settings and its leases.
 * All of it is on disk too, and is read from there when the topic is first used.
 * Waiting and ended tasks are never in memory; leased ones are as many as the
 * workers have slots.
 *
 * The figures are written before each commit, once for all verbs since the last.
 */
import type { SessionId, TopicName } from "../../domain/ids.js";
import { COUNTERS, type TopicSettings } from "../../domain/topic.js";
import { idAfter, scratch, scratchUpTo } from "./body-codec.js";
import type { Tables } from "./database.js";
import { textKey, topicBounds } from "./keys.js";
import { Leases, loadLeases } from "./leases.js";

/** Written in this order: never change it, only add to its end. */
const FIGURES = [
  ...COUNTERS,
  "scheduled",
  "ready",
  "leased",
  "dead",
  "completedKept",
  "cancelledKept",
  "bytes",
  /** 1 when the topic was ever enqueued to or configured. */
  "exists",
  /** Numbers given out so far: to enqueued tasks, leases, blobs, chunks of ended ids, groups of leases. */
  "places",
  "tokens",
  "blobs",
  "chunks",
  "groups",
] as const;

export type Figures = Record<(typeof FIGURES)[number], number>;

export interface TopicState {
  readonly name: TopicName;
  /** Names the topic in keys. 0: the topic is not on disk, and nothing of it is found under this number. */
  readonly number: number;
  figures: Figures;
  settings: TopicSettings;
  leases: Leases;
  /** At which sessions are open on it, as far as that was asked for: see holds.ts. */
  readonly epochs: Map<SessionId, number>;
  /** No id that the topic knows is higher: what comes with a higher one is new. */
  highestId: string;
}

/** Writes numbers several times faster than a Buffer does. */
const scratchView = new DataView(scratch.buffer, scratch.byteOffset);

const NEXT_TOPIC = "next topic";
const UNCONFIGURED: TopicSettings = { paused: false };

export class Topics {
  readonly #tables: Tables;
  readonly #loaded = new Map<TopicName, TopicState>();
  readonly #changed = new Set<TopicState>();

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** The topic, or an empty one that must not be written to. */
  find(name: TopicName): TopicState {
    return this.#loaded.get(name) ?? this.#load(name) ?? blank(name, 0);
  }

  /** The topic, put on disk when there was none. It does not exist for callers until its figures say so. */
  create(name: TopicName): TopicState {
    const found = this.find(name);
    if (found.number > 0) return found;
    const { book } = this.#tables;
    const number = book.get(textKey(NEXT_TOPIC))?.readUInt32BE() ?? 1;
    scratch.writeUInt32BE(number + 1);
    book.put(textKey(NEXT_TOPIC), scratchUpTo(4));
    const topic = blank(name, number);
    this.#loaded.set(name, topic);
    this.#put(topic);
    return topic;
  }

  /** The topic's figures are going to change. */
  touch(topic: TopicState): void {
    if (topic.number > 0) this.#changed.add(topic);
  }

  /** Whether the topic was ever enqueued to or configured. */
  exists(name: TopicName): boolean {
    const loaded = this.#loaded.get(name);
    if (loaded !== undefined) return loaded.figures.exists === 1;
    return this.#tables.topic.get(textKey(name))?.readDoubleBE(figureAt(FIGURES.indexOf("exists"))) === 1;
  }

  /** Writes the figures that changed; to be called before a commit. */
  save(): void {
    for (const topic of this.#changed) this.#put(topic);
    this.#changed.clear();
  }

  #put({ name, number, figures }: TopicState): void {
    let at = scratch.writeUInt32BE(number);
    for (const figure of FIGURES) {
      scratchView.setFloat64(at, figures[figure]);
      at += 8;
    }
    this.#tables.topic.put(textKey(name), scratchUpTo(at));
  }

  /** Drops everything from memory: it is no longer what is on disk. */
  forget(): void {
    this.#loaded.clear();
    this.#changed.clear();
  }

  configure(name: TopicName, settings: TopicSettings): TopicState {
    const topic = this.create(name);
    topic.settings = settings;
    topic.figures.exists = 1;
    this.#changed.add(topic);
    this.#tables.settings.put(textKey(name), Buffer.from(JSON.stringify(settings)));
    return topic;
  }

  #load(name: TopicName): TopicState | undefined {
    const row = this.#tables.topic.get(textKey(name));
    if (row === undefined) return undefined;
    const topic = blank(name, row.readUInt32BE());
    FIGURES.forEach((figure, index) => {
      const at = figureAt(index);
      // A figure that a newer version added is not in a row that an older one wrote.
      if (at < row.length) topic.figures[figure] = row.readDoubleBE(at);
    });
    const settings = this.#tables.settings.get(textKey(name));
    if (settings !== undefined) topic.settings = JSON.parse(settings.toString());
    topic.leases = loadLeases(this.#tables, topic.number);
    topic.highestId = highestId(this.#tables, topic);
    this.#loaded.set(name, topic);
    return topic;
  }
}

function highestId(tables: Tables, { number, leases }: TopicState): string {
  const { start, end } = topicBounds(number);
  const last = tables.status.lastKey(start, end);
  let highest: string = last === undefined ? "" : idAfter(last, start.length);
  for (const id of leases.ids()) if (id > highest) highest = id;
  return highest;
}

/** Where a figure stands in the topic's row, after the topic's number. */
function figureAt(index: number): number {
  return 4 + 8 * index;
}

function blank(name: TopicName, number: number): TopicState {
  const figures: Figures = {
    enqueued: 0,
    started: 0,
    retried: 0,
    failed: 0,
    completed: 0,
    released: 0,
    expired: 0,
    cancelled: 0,
    aborted: 0,
    requeued: 0,
    deleted: 0,
    scheduled: 0,
    ready: 0,
    leased: 0,
    dead: 0,
    completedKept: 0,
    cancelledKept: 0,
    bytes: 0,
    exists: 0,
    places: 0,
    tokens: 0,
    blobs: 0,
    chunks: 0,
    groups: 0,
  };
  return { name, number, figures, settings: UNCONFIGURED, leases: new Leases(), epochs: new Map(), highestId: "" };
}
