/**
 * Random histories over a few topics, told to two namespaces: in one, tasks and
 * completions go straight where the store takes them so; in the other by the
 * ordinary verbs alone. Answers are the same, and so are all keys once every topic
 * is unfolded, but for tokens: those of straight tasks are numbered by scope.
 */
import assert from "node:assert";
import { expect, test } from "vitest";
import type { LeaseToken, TopicName } from "../../server/domain/ids.js";
import { RedisStore } from "../../server/store/redis/redis-store.js";
import type { LeaseRef, NewTask, SessionRef, TopicLeaseRef } from "../../server/store/store.js";
import { Random } from "../support/random.js";
import { sharedRedis } from "../support/redis.js";
import { assertConsistent, plain, takeSnapshot } from "../support/snapshot.js";
import { NOW, newSession, newTask, taskId, topicName } from "../support/task-factory.js";
import { ScriptFixture } from "./script-fixture.js";

const WINDOW_MS = 30_000;
const TOPICS = ["a", "ba", "b:a"].map(topicName);
const STEPS = 250;

/** A task, where it goes, and who takes it. */
interface Put {
  readonly topic: TopicName;
  readonly task: NewTask;
  readonly taker: SessionRef;
}

/** A namespace, and what is done to it. */
class Side {
  readonly f: ScriptFixture;
  readonly store: RedisStore;
  readonly #goesStraight: boolean;
  now = NOW;
  /** How many tasks went straight, and how many completions. */
  straight = { enqueued: 0, completed: 0 };
  /** The latest lease of each task. */
  readonly leases = new Map<string, TopicLeaseRef>();
  readonly #lastTokens = new Map<TopicName, LeaseToken>();

  private constructor(f: ScriptFixture, store: RedisStore, goesStraight: boolean) {
    this.f = f;
    this.store = store;
    this.#goesStraight = goesStraight;
  }

  static async open(goesStraight: boolean, unshardedMax?: number): Promise<Side> {
    const f = await ScriptFixture.open();
    const store = new RedisStore({ url: (await sharedRedis()).url, namespace: f.namespace, unshardedMax });
    await store.open();
    return new Side(f, store, goesStraight);
  }

  get ending() {
    return { now: this.now, endedWindowMs: WINDOW_MS };
  }

  async put(puts: readonly Put[]): Promise<unknown[]> {
    const straight = this.#goesStraight
      ? await this.store.enqueueStraight(
          puts.map(({ topic, task }) => ({ ...task, topic })),
          puts.map(({ taker }) => taker),
          this.ending,
        )
      : [];
    const answers: unknown[] = [];
    for (const [i, { topic, task, taker }] of puts.entries()) {
      const own = straight[i];
      if (own !== undefined) {
        this.straight.enqueued += 1;
        answers.push({ created: [true], leased: this.#noted(topic, [own]), ready: 0, lostSessions: [] });
        continue;
      }
      const demands = [{ session: taker, limit: 1, bytesMax: 1_000 }];
      const answer = await this.store.enqueue(topic, [task], { ...this.ending, tasksMax: 0, bytesMax: 0, demands });
      assert(answer.kind === "enqueued");
      const { created, leased, ready, lostSessions } = answer;
      answers.push({ created, leased: this.#noted(topic, leased), ready, lostSessions });
    }
    return answers;
  }

  async finish(names: readonly string[]): Promise<unknown[]> {
    const leases = names.map((name) => this.lease(name));
    const straight = this.#goesStraight ? await this.store.completeStraight(leases, this.ending) : [];
    const outcomes: unknown[] = [];
    for (const [i, lease] of leases.entries()) {
      if (straight[i] === true) this.straight.completed += 1;
      const general = straight[i] === true ? undefined : await this.store.complete(lease.topic, [lease], this.ending);
      outcomes.push(general?.outcomes[0] ?? "completed");
    }
    return outcomes;
  }

  async take(topic: TopicName, session: SessionRef, limit = 2): Promise<unknown> {
    const demands = [{ session, limit, bytesMax: 10_000 }];
    const { leased, ready } = await this.store.lease(topic, demands, { now: this.now });
    return [this.#noted(topic, leased), ready];
  }

  lease(name: string): TopicLeaseRef {
    const lease = this.leases.get(name);
    assert(lease !== undefined);
    return lease;
  }

  /** Without tokens, which rise from lease to lease of a topic. */
  #noted(topic: TopicName, leased: readonly LeaseRef[]): unknown[] {
    return leased.map(({ id, session, token, ...rest }) => {
      expect(token > (this.#lastTokens.get(topic) ?? "")).toBe(true);
      this.#lastTokens.set(topic, token);
      this.leases.set(`${topic} ${id}`, { topic, id, session, token });
      return { id, session, ...(plain(rest) as object) };
    });
  }

  /** All keys, unfolded, without tokens. */
  async picture(): Promise<unknown> {
    for (const topic of TOPICS) await this.store.get(topic, [taskId("none")]);
    const entries = Object.entries(await this.f.picture()).map(([key, content]) => {
      const name = key.replace(this.f.namespace, "");
      if (/:(?:leases|ended):/.test(key))
        return [name, mapped(content, (value) => value.slice(12).replace(/(?:0a)+$/, ""))];
      if (name.endsWith(":meta"))
        return [name, mapped(content, (value) => value.replace(/09(?:72|62)(?:3\d|6\d){12}09/, "09"))];
      if (name.endsWith(":stats"))
        return [name, mapped(content, (value) => (value === "30" ? undefined : value), "fence")];
      return [name, content];
    });
    return Object.fromEntries(entries.filter(([name]) => !String(name).endsWith(":folded")));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
    for (const key of await this.f.redis.keys(`*${this.f.namespace}*`)) await this.f.redis.unlink(key);
    this.f[Symbol.dispose]();
  }
}

function mapped(content: unknown, map: (value: string) => string | undefined, without?: string): unknown {
  assert(typeof content === "object" && content !== null);
  return Object.fromEntries(
    Object.entries(content).map(([name, hash]: [string, Record<string, string>]) => [
      name,
      Object.fromEntries(
        Object.entries(hash).flatMap(([field, value]) => (field === without ? [] : [[field, map(value)]])),
      ),
    ]),
  );
}

/** What both sides are told: the same of both, as the draws do not look at tokens. */
class History {
  readonly #random: Random;
  readonly #sides: readonly Side[];
  /** Of each session the epoch; those that are over have new names. */
  readonly #sessions = new Map([1, 2].map((n) => [`worker-${n}`, 1]));
  #opened = 2;
  #ids = 0;

  constructor(random: Random, sides: readonly Side[]) {
    this.#random = random;
    this.#sides = sides;
  }

  async begin(): Promise<void> {
    for (const id of this.#sessions.keys()) await this.#both((side) => side.store.openSession(newSession(id, TOPICS)));
  }

  async step(): Promise<void> {
    await this.#random.weighted<() => Promise<void>>([
      [12, () => this.#put()],
      [8, () => this.#finish()],
      [1, () => this.#end()],
      [2, () => this.#look()],
      [2, () => this.#move()],
      [0.7, () => this.#sweep()],
      [0.5, () => this.#change()],
      [1, async () => this.#advance()],
      [4, () => this.#drain()],
    ])();
  }

  async #both(act: (side: Side) => Promise<unknown>): Promise<void> {
    const [straight, ordinary] = this.#sides;
    assert(straight !== undefined && ordinary !== undefined);
    expect(plain(await act(straight))).toEqual(plain(await act(ordinary)));
  }

  #session(): SessionRef {
    const [id, epoch] = this.#random.pick([...this.#sessions]);
    return { id: newSession(id, []).id, epoch };
  }

  #topic(): TopicName {
    return this.#random.pick(TOPICS);
  }

  #task(): NewTask {
    const old = this.#random.chance(0.06) && this.#ids > 0;
    const id = `i${String(old ? this.#random.int(0, this.#ids - 1) : this.#ids++).padStart(4, "0")}`;
    const overrides = this.#random.weighted([
      [40, {}],
      [2, { numRetries: 3 }],
      [1, { retentionMs: 40_000 }],
      [1, { priority: 1 }],
      [1, { dueAtMs: NOW + 90_000 }],
      [1, { externalId: "x" }],
    ]);
    return newTask(id, overrides);
  }

  #name(): string | undefined {
    const names = [...(this.#sides[0]?.leases.keys() ?? [])];
    return names.length === 0 ? undefined : this.#random.pick(names.slice(-12));
  }

  async #put(): Promise<void> {
    const puts = this.#random.several(1, 5, () => ({
      topic: this.#topic(),
      task: this.#task(),
      taker: this.#session(),
    }));
    await this.#both((side) => side.put(puts));
  }

  async #finish(): Promise<void> {
    const names = new Set(this.#random.several(1, 4, () => this.#name()).flatMap((name) => name ?? []));
    await this.#both((side) => side.finish([...names]));
  }

  /** Another end than completion. */
  async #end(): Promise<void> {
    const name = this.#name();
    if (name === undefined) return;
    const next = this.#random.pick([
      { kind: "retry", dueAtMs: 0 },
      { kind: "retry", dueAtMs: NOW + 100_000 },
      { kind: "bury", reason: "do_not_retry" },
    ] as const);
    const kind = this.#random.pick(["release", "fail", "progress"]);
    await this.#both((side) => {
      const { topic, ...lease } = side.lease(name);
      if (kind === "release") return side.store.release(topic, [lease], side.ending);
      if (kind === "fail") return side.store.fail(topic, [{ ...lease, error: "x", next }], side.ending);
      return side.store.progress(topic, [{ ...lease, progress: { fraction: 0.5, message: "" } }]);
    });
  }

  async #look(): Promise<void> {
    const [topic, session] = [this.#topic(), this.#session()];
    const describe = this.#random.chance(0.6);
    await this.#both(async (side) => {
      if (describe) return side.store.describe(TOPICS);
      return (await side.store.held(topic, session.id)).map(({ id }) => id).sort();
    });
  }

  async #move(): Promise<void> {
    const [topic, session, id] = [
      this.#topic(),
      this.#session(),
      taskId(`i${String(this.#random.int(0, this.#ids)).padStart(4, "0")}`),
    ];
    const kind = this.#random.pick(["take", "cancel", "requeue", "remove"]);
    await this.#both(async (side) => {
      if (kind === "take") return side.take(topic, session);
      if (kind === "requeue") return side.store.requeue(topic, { ids: [id] }, { now: side.now });
      if (kind === "remove") return side.store.remove(topic, [id]);
      const [outcome] = await side.store.cancel(topic, [id], side.ending);
      return outcome?.kind === "cancel_requested" ? { ...outcome, token: "" } : outcome;
    });
  }

  async #sweep(): Promise<void> {
    const topic = this.#topic();
    await this.#both((side) => side.store.prune(topic, { ...side.ending, limit: 10 }));
    await this.#both((side) => side.store.promote(topic, { now: side.now, limit: 10 }));
  }

  /** A session moves or is over, or a topic pauses for a moment. */
  async #change(): Promise<void> {
    const { id, epoch } = this.#session();
    if (this.#random.chance(0.4)) {
      const by = { broker: "broker-2", address: "", expiresAtMs: NOW };
      await this.#both((side) => side.store.resumeSession({ id, secret: `secret of ${id}` }, by));
      // It is the old epoch that some still take tasks with.
      if (this.#random.chance(0.7)) this.#sessions.set(id, epoch + 1);
    } else if (this.#random.chance(0.6)) {
      const ending = { charge: "lost", undelivered: [], lostLeasesMax: 2, error: "gone", limit: 100 } as const;
      const gone = this.#random.pick([TOPICS, TOPICS.slice(0, 1)]);
      for (const topic of gone) {
        await this.#both(async (side) => {
          const { expired } = await side.store.expire(topic, id, { ...side.ending, ...ending });
          return [...expired].sort((a, b) => (a.id < b.id ? -1 : 1));
        });
      }
      for (const old of [epoch, epoch + 1]) await this.#both((side) => side.store.closeSession({ id, epoch: old }));
      this.#sessions.delete(id);
      const next = `worker-${++this.#opened}`;
      this.#sessions.set(next, 1);
      await this.#both((side) => side.store.openSession(newSession(next, TOPICS)));
    } else {
      const topic = this.#topic();
      await this.#both((side) => side.store.configure(topic, { paused: true }));
      await this.#put();
      await this.#both((side) => side.store.configure(topic, { paused: false }));
    }
  }

  /** Whatever waits or is leased ends, so that topics can be folded again. */
  async #drain(): Promise<void> {
    for (const [id, epoch] of this.#sessions) {
      const session = { id: newSession(id, []).id, epoch };
      for (const topic of TOPICS) await this.#both((side) => side.take(topic, session, 100));
    }
    const names = [...(this.#sides[0]?.leases.keys() ?? [])];
    await this.#both((side) => side.finish(names));
    for (const side of this.#sides) side.leases.clear();
  }

  #advance(): void {
    const ms = this.#random.pick([1, 300, WINDOW_MS / 3, WINDOW_MS]);
    for (const side of this.#sides) side.now += ms;
  }
}

async function tell(seed: number, straight: Side, ordinary: Side): Promise<void> {
  const history = new History(new Random(seed), [straight, ordinary]);
  await history.begin();
  for (let step = 0; step < STEPS; step++) await history.step();
  expect(straight.straight.enqueued).toBeGreaterThan(15);
  expect(straight.straight.completed).toBeGreaterThan(5);
}

async function assertWhole(side: Side): Promise<void> {
  assertConsistent(await takeSnapshot(side.store, TOPICS));
  for (const topic of TOPICS) {
    const { problems } = await side.store.scrub(topic, { ...side.ending, repair: false, limit: 10_000 });
    expect(problems).toEqual([]);
  }
  expect(await side.f.redis.hlen(side.f.key("straight"))).toBe(0);
}

test.each([1, 2, 3, 4, 5, 6])("history %i", async (seed) => {
  await using straight = await Side.open(true);
  await using ordinary = await Side.open(false);
  await tell(seed, straight, ordinary);
  expect(await straight.picture()).toEqual(await ordinary.picture());
  await assertWhole(straight);
});

// What is unfolded goes into the hash of few tasks, whatever else there is: keys differ then.
test.each([7, 8])("history %i, with hashes in shards", async (seed) => {
  await using straight = await Side.open(true, 1);
  await using ordinary = await Side.open(false, 1);
  await tell(seed, straight, ordinary);
  expect(await straight.store.describe(TOPICS)).toEqual(await ordinary.store.describe(TOPICS));
  await assertWhole(straight);
});
