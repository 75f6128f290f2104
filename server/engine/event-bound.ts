/**
 * Chooses which events are told when there are more than may be told: so many a
 * second, with at most a second's worth at once, and nothing is built for those
 * that are not.
 *
 * Whole stories are chosen: by a hash of the task's id, so that of a task either
 * each event is told or none, by every broker alike. Topics share alike: one that
 * makes few events is told whole beside one that makes many. How large a part of
 * a topic that is follows from how many events were on offer lately; the bucket
 * holds whatever the guess is. A quarter of it is kept for events that are
 * *sure*: rare ones that people look for.
 */
import { charCodeAt } from "../lib/char-code.js";

/** As long as this a choice holds, when the bucket lasts. */
const WINDOW_MS = 1_000;
/** As long as this at least, when it does not. */
const WINDOW_MS_MIN = 100;
/** Aims at so much of the bound when the bucket is empty, and at all of it when it is full: stories are cut short when it runs dry. */
const AIM_MIN = 0.7;
/** Part of the bucket that only sure events may take. */
const KEPT = 0.25;
const ALL = 2 ** 32;

/** One topic's part. */
export interface TopicShare {
  /** Events on offer since the choice was made. */
  offered: number;
  /** Tasks whose hash is below are told. */
  below: number;
}

export class EventBound {
  #perSecond: number;
  readonly #monotonic: () => number;
  #tokens: number;
  #filledAt: number;
  #chosenAt: number;
  /** Whether an event was refused for want of tokens since the choice was made. */
  #isDry = false;
  /** Sure events since the choice was made. */
  #sure = 0;
  readonly #shares = new Map<string, TopicShare>();
  /** The task that was looked at last, and its story: often several events of a task are on offer. */
  #lastId = "";
  #lastStory = storyOf("");

  /** `monotonic` tells milliseconds. */
  constructor(perSecond: number, monotonic: () => number) {
    this.#perSecond = perSecond;
    this.#monotonic = monotonic;
    this.#tokens = perSecond;
    this.#filledAt = monotonic();
    this.#chosenAt = this.#filledAt;
  }

  set perSecond(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Tells that there will be `count` events of a topic to choose from, and with what. */
  offer(topic: string, count: number): TopicShare {
    this.#goOn();
    let share = this.#shares.get(topic);
    if (share === undefined) {
      share = { offered: 0, below: ALL };
      this.#shares.set(topic, share);
    }
    share.offered += count;
    return share;
  }

  /** Whether an event on offer is told. */
  admits(share: TopicShare, taskId: string, isSure: boolean): boolean {
    if (isSure) {
      this.#sure += 1;
    } else if (share.below < ALL && this.#storyOf(taskId) >= share.below) {
      return false;
    }
    const kept = isSure ? 0 : Math.floor(this.#perSecond * KEPT);
    if (this.#tokens - 1 < kept) {
      this.#isDry = true;
      return false;
    }
    this.#tokens -= 1;
    return true;
  }

  #storyOf(taskId: string): number {
    if (taskId !== this.#lastId) {
      this.#lastId = taskId;
      this.#lastStory = storyOf(taskId);
    }
    return this.#lastStory;
  }

  #goOn(): void {
    const now = this.#monotonic();
    const quietMs = now - this.#filledAt;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + (quietMs * this.#perSecond) / 1_000);
    this.#filledAt = now;
    const passedMs = now - this.#chosenAt;
    if (passedMs < (this.#isDry ? WINDOW_MS_MIN : WINDOW_MS)) return;
    const aim = AIM_MIN + (1 - AIM_MIN) * (this.#tokens / this.#perSecond);
    const room = (this.#perSecond * aim * passedMs) / 1_000 - this.#sure;
    // What was before a quiet time tells nothing about what comes after.
    this.#choose(quietMs < WINDOW_MS ? room : Number.POSITIVE_INFINITY);
    this.#chosenAt = now;
    this.#isDry = false;
    this.#sure = 0;
  }

  /** Shares out `room` among the topics by what they had on offer: those with the least first, whole if it is not more than their part. */
  #choose(room: number): void {
    for (const [topic, { offered }] of this.#shares) if (offered === 0) this.#shares.delete(topic);
    const shares = [...this.#shares.values()].sort((a, b) => a.offered - b.offered);
    let left = Math.max(0, room);
    for (const [index, share] of shares.entries()) {
      const part = Math.min(share.offered, left / (shares.length - index));
      share.below = part === share.offered ? ALL : Math.floor((part / share.offered) * ALL);
      left -= part;
      share.offered = 0;
    }
  }
}

/** A number from 0 to 2^32 that is the task's alone, as good as random. It looks at some 32 pairs of characters at most. */
function storyOf(taskId: string): number {
  const step = 2 + 2 * (taskId.length >> 6);
  let hash = charCodeAt(taskId, 0);
  for (let index = taskId.length - 1; index > 0; index -= step) {
    hash = Math.imul(hash ^ charCodeAt(taskId, index) ^ (charCodeAt(taskId, index - 1) << 8), 0x01000193);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
