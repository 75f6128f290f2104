/**
 * A worker's credit: a window, as the worker last advertised it, of so many
 * tasks counted from a delivery that it had received; and a budget of bytes.
 * What was delivered since, waits to be delivered, or is being asked of the store,
 * counts against the window. One counter for all of these, so that a worker is
 * never given more than it asked for.
 *
 * Topics that have tasks waiting share it by their weights.
 */

/** What one demand may set aside of the budget of bytes while it is under way. */
const DEMAND_BYTES_MAX = 8 * 1024 * 1024;
/** What a task is taken for before any of its topic was seen. */
const TASK_BYTES_UNSEEN = 32 * 1024;
/** Of the difference to smaller tasks that come, so much is taken off with each of them. */
const TASK_BYTES_DECAY = 1 / 8;

/** What a topic has of its worker's credit. */
export interface TopicCredit {
  /** Tasks of this topic at once; 0 for no limit. */
  readonly concurrency: number;
  readonly weight: number;
  /** Leases held and tasks being asked for. */
  inFlight: number;
  /** What it has had in proportion to its weight; the least served topic goes first. */
  served: number;
  /** About what the larger tasks of late took; demands set aside twice as much for each. Undefined before any was seen. */
  taskBytes: number | undefined;
}

export class Credit<Topic extends TopicCredit> {
  readonly #hot = new Set<Topic>();
  #window: number;
  readonly #bytesMax: number;
  #heldBytes = 0;
  #reservedBytes = 0;
  /** Tasks being asked for, or leased since the delivery the window is counted from. */
  #outstanding = 0;
  readonly #deliveries: { readonly number: number; readonly count: number }[] = [];

  constructor({ slots, bytesMax }: { readonly slots: number; readonly bytesMax: number }) {
    this.#window = slots;
    this.#bytesMax = bytesMax;
  }

  /** The topics that have tasks waiting. */
  get hot(): ReadonlySet<Topic> {
    return this.#hot;
  }

  get isUsedUp(): boolean {
    return this.#window <= this.#outstanding;
  }

  /** For how many tasks of a topic there is credit; 0 or less for none. */
  roomFor(topic: Topic): number {
    const credit = this.#window - this.#outstanding;
    if (credit <= 0 || this.#bytesFree <= 0) return 0;
    const room = topic.concurrency === 0 ? credit : topic.concurrency - topic.inFlight;
    return Math.min(room, this.#shareOf(topic, credit));
  }

  get #bytesFree(): number {
    return this.#bytesMax - this.#heldBytes - this.#reservedBytes;
  }

  /** How many bytes a demand for so many tasks may bring; `bytes` is what they take in all, if that is known. */
  bytesFor({ taskBytes = TASK_BYTES_UNSEEN }: Topic, count: number, bytes = Math.ceil(count * taskBytes * 2)): number {
    return Math.min(this.#bytesFree, bytes, DEMAND_BYTES_MAX);
  }

  /** Sets credit aside for tasks that are asked for. */
  take(topic: Topic, count: number, bytes: number): void {
    this.#outstanding += count;
    topic.inFlight += count;
    topic.served += count / topic.weight;
    this.#reservedBytes += bytes;
  }

  /** Gives back what was set aside for tasks that did not come; and `bytes`, of which those that came take their own. */
  giveBack(topic: Topic, count: number, bytes: number): void {
    this.take(topic, -count, -bytes);
  }

  /** A task came for which credit was set aside. */
  came(topic: Topic, bytes: number): void {
    const { taskBytes = bytes } = topic;
    topic.taskBytes = Math.max(bytes, taskBytes - (taskBytes - bytes) * TASK_BYTES_DECAY);
    this.hold(bytes);
  }

  /** A task is in the worker's hands. */
  hold(bytes: number): void {
    this.#heldBytes += bytes;
  }

  /** It no longer is. */
  free(topic: Topic, bytes: number): void {
    topic.inFlight--;
    this.#heldBytes -= bytes;
  }

  /** The stream takes a delivery of so many tasks. */
  delivering(number: number, count: number): void {
    this.#deliveries.push({ number, count });
  }

  /** The worker takes so many, counted from the delivery it received last. */
  advertised(slots: number, received: number): void {
    let done = 0;
    for (const { number, count } of this.#deliveries) {
      if (number > received) break;
      this.#outstanding -= count;
      done++;
    }
    if (done > 0) this.#deliveries.splice(0, done);
    this.#window = slots;
  }

  /** A topic has tasks waiting, or no longer has. */
  turned(topic: Topic, hot: boolean): void {
    if (!hot) {
      this.#hot.delete(topic);
      return;
    }
    // A topic that was idle must not have saved up credit for a burst.
    let least = Number.POSITIVE_INFINITY;
    for (const other of this.#hot) least = Math.min(least, other.served);
    if (Number.isFinite(least)) topic.served = Math.max(topic.served, least);
    this.#hot.add(topic);
  }

  /** How much of `credit` a topic may take when several of the worker's topics have tasks. */
  #shareOf(topic: Topic, credit: number): number {
    if (this.#hot.size === 0 || (this.#hot.size === 1 && this.#hot.has(topic))) return credit;
    let weights = this.#hot.has(topic) ? 0 : topic.weight;
    let least = topic.served;
    for (const other of this.#hot) {
      // Nothing is kept free for a topic that can take nothing now.
      if (other !== topic && isFull(other)) continue;
      weights += other.weight;
      least = Math.min(least, other.served);
    }
    const share = (credit * topic.weight) / weights;
    return topic.served <= least ? Math.ceil(share) : Math.floor(share);
  }
}

function isFull({ concurrency, inFlight }: TopicCredit): boolean {
  return concurrency !== 0 && inFlight >= concurrency;
}
