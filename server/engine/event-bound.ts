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

/** As long as this a choice holds, when the bucket lasts. */
const WINDOW_MS = 1_000;
/** As long as this at least, when it does not. */
const WINDOW_MS_MIN = 100;
/** Aims below the bound, so that stories are seldom cut short by an empty bucket. */
const AIM = 0.9;
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
    } else if (share.below < ALL && storyOf(taskId) >= share.below) {
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

  #goOn(): void {
    const now = this.#monotonic();
    if (now > this.#filledAt) {
      const filled = this.#tokens + ((now - this.#filledAt) * this.#perSecond) / 1_000;
      this.#tokens = Math.min(this.#perSecond, filled);
      this.#filledAt = now;
    }
    const passedMs = now - this.#chosenAt;
    if (passedMs < (this.#isDry ? WINDOW_MS_MIN : WINDOW_MS)) return;
    this.#choose((this.#perSecond * AIM * passedMs) / 1_000 - this.#sure);
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

/** A number from 0 to 2^32 that is the task's alone, as good as random. Of a long id it looks at some 16 characters, the last one among them. */
function storyOf(taskId: string): number {
  const step = 1 + (taskId.length >> 4);
  let hash = 0x811c9dc5;
  for (let index = taskId.length - 1; index >= 0; index -= step) {
    hash = Math.imul(hash ^ taskId.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
