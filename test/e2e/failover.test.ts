/**
 * Failover of Redis to its replica, under load: when the primary dies, and when
 * it is demoted by an operator. Brokers refuse meanwhile, and go on by
 * themselves at the new primary; nothing that was accepted and replicated is
 * lost, and nobody loses a lease that was replicated. All processes are real.
 */
import { Client, defineTopic, TaskqueueError } from "@taskqueue/sdk";
import { Redis } from "ioredis";
import { Status } from "nice-grpc-common";
import { expect, test } from "vitest";
import { RedisServer } from "../support/redis.js";
import { until } from "../support/until.js";
import { Crew, tellFigures } from "./fixtures/crew.js";
import { sharedMs, topicsOf } from "./fixtures/crew-child.js";
import { Switchboard } from "./fixtures/switchboard.js";

const RATE = Number(process.env.TASKQUEUE_TEST_RATE ?? 200);
const short = defineTopic<[ms: number]>(topicsOf(1).short);

class Node implements AsyncDisposable {
  readonly server: RedisServer;
  readonly client: Redis;

  private constructor(server: RedisServer) {
    this.server = server;
    this.client = new Redis(server.url, { retryStrategy: () => 100 });
    this.client.on("error", () => {});
  }

  static async start(): Promise<Node> {
    return new Node(await RedisServer.start({ config: { "repl-diskless-sync-delay": "0" } }));
  }

  async #info(field: string): Promise<string | undefined> {
    return new RegExp(`^${field}:(.*)\\r$`, "m").exec(await this.client.info("replication"))?.[1];
  }

  async offset(): Promise<number> {
    return Number(await this.#info("master_repl_offset"));
  }

  /** Follows another node; resolves when it has everything. */
  async follow(primary: Node): Promise<void> {
    await this.client.replicaof("127.0.0.1", primary.server.port);
    const follows = async () => (await this.#info("master_link_status")) === "up";
    await until("the replica is in step", follows, { timeoutMs: 20_000 });
  }

  /** Resolves when everything the primary has written by now is here. */
  async catchUp(primary: Node): Promise<void> {
    const offset = await primary.offset();
    await until("the replica has caught up", async () => Number(await this.#info("slave_repl_offset")) >= offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.disconnect();
    await this.server[Symbol.asyncDispose]();
  }
}

/** The code of the refusal that every broker must give now. */
async function refusals(crew: Crew): Promise<string[]> {
  return Promise.all(
    crew.addresses.map(async (address) => {
      await using client = new Client({ address, retryForMs: 0 });
      return until(`${address} refuses`, async () => {
        const error = await client.enqueue(short, [0]).catch((reason: unknown) => reason);
        if (!(error instanceof TaskqueueError)) return undefined;
        expect(error).toMatchObject({ status: Status.UNAVAILABLE, retryable: true });
        return error.code;
      });
    }),
  );
}

test("a primary that dies, and one that is demoted: what was replicated is done, by itself", async () => {
  await using first = await Node.start();
  await using second = await Node.start();
  await second.follow(first);
  await using board = await Switchboard.start(first.server.port);
  await using crew = await Crew.start(2, ["--redis", `redis://127.0.0.1:${board.port}`]);
  const { account } = crew;
  await crew.goToWork({ perSecond: RATE, longEvery: 20, longMs: 4_000 });

  // The primary dies. What was accepted by now is at the replica.
  const kept = new Set(account.read().accepted.keys());
  const keptMs = sharedMs();
  const held = [...account.entries.keys()].filter((id) => !account.left.has(id));
  await second.catchUp(first);
  await first.server.kill();
  const codes = await refusals(crew);
  const mayBeLost = new Set([...account.read().accepted.keys()].filter((id) => !kept.has(id)));
  const diedMs = sharedMs();
  await second.client.replicaof("NO", "ONE");
  board.pointTo(second.server.port);
  const afterDeathMs = await crew.workGoesOn(diedMs, RATE);
  const running = held.filter((id) => (account.left.get(id)?.atMs ?? Number.POSITIVE_INFINITY) > diedMs);
  expect(running.length).toBeGreaterThan(0);
  await until("what was replicated is done", () => account.read() && [...kept].every((id) => account.left.has(id)), {
    timeoutMs: 30_000,
  });
  const again = account.repeated.length;
  expect(account.repeated.filter(([id]) => running.includes(id))).toEqual([]);
  expect([...kept].filter((id) => (account.entries.get(id)?.length ?? 0) > 1 && endedBefore(id, keptMs))).toEqual([]);

  // The old primary comes back as a replica, and an operator puts it into its old place: nothing at all is lost.
  await first.server.restart();
  await first.follow(second);
  const lostBefore = account.lost.length;
  await second.client.client("PAUSE", 10_000, "WRITE");
  await first.catchUp(second);
  await first.client.replicaof("NO", "ONE");
  await second.client.replicaof("127.0.0.1", first.server.port);
  await second.client.client("UNPAUSE");
  // Connections to the old primary stay; it refuses to write, and brokers have to look for the new one.
  board.pointTo(first.server.port);
  const afterDemotionMs = await crew.workGoesOn(sharedMs(), RATE);
  await crew.finish({ mayBeLost });

  const lost = account.unfinished;
  tellFigures("a failover", {
    tasks: account.accepted.size,
    replicated: kept.size,
    heldAtTheDeath: running.length,
    refusedWith: [...new Set(codes)].join("/"),
    workWentOnAfterDeathMs: afterDeathMs,
    workWentOnAfterDemotionMs: afterDemotionMs,
    acceptedAndNotReplicated: mayBeLost.size,
    lostOfThose: lost.length,
    ranAgainAfterDeath: again,
    ranAgainAfterDemotion: account.repeated.length - again,
    failedEnqueues: account.refused.length,
    slowestEnqueueMs: Math.max(...account.accepted.values()),
  });
  expect(account.refused).toEqual([]);
  expect(account.repeated.length).toBe(again);
  expect(account.lost.slice(lostBefore)).toEqual([]);
  for (const { process } of crew.brokers) {
    expect(process.running).toBe(true);
    expect(process.output).not.toMatch(/this is a bug|not consistent|INTERNAL/);
  }

  function endedBefore(id: string, atMs: number): boolean {
    // A report takes a moment to be stored.
    return (account.left.get(id)?.atMs ?? Number.POSITIVE_INFINITY) < atMs - 500;
  }
}, 120_000);
