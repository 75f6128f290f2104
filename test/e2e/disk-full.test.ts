/**
 * The embedded store on a disk that fills up: producers are refused, workers
 * finish what they hold, a kill -9 and a restart on the full disk lose nothing,
 * and work goes on when there is room. The disk is a small tmpfs, so this needs
 * root and the right to mount; it is skipped where there is neither.
 */
import { execFileSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { join } from "node:path";
import { Client, defineTopic, TaskqueueError, Worker } from "@taskqueue/sdk";
import { Status } from "nice-grpc-common";
import { expect, test } from "vitest";
import { removeFolder, temporaryFolder } from "../support/guardian.js";
import { until } from "../support/until.js";
import { Crew, tellFigures } from "./fixtures/crew.js";
import { sharedMs } from "./fixtures/crew-child.js";

const SMALL_MIB = 96;
const LARGE_MIB = 256;
const HELD = 25;
/** More than the disk holds, of any size. */
const FILL_TASKS_MAX = 20_000;
const TEXT = "x".repeat(100_000);

const held = defineTopic<[number: number]>("held");
const filling = defineTopic<[text: string]>("filling");

class SmallDisk implements Disposable {
  readonly folder = temporaryFolder();

  /** Undefined when this process may not mount. */
  static mount(): SmallDisk | undefined {
    const disk = new SmallDisk();
    try {
      mount("-t", "tmpfs", "-o", `size=${SMALL_MIB}m`, "tmpfs", disk.folder);
      return disk;
    } catch {
      removeFolder(disk.folder);
      return undefined;
    }
  }

  grow(): void {
    mount("-o", `remount,size=${LARGE_MIB}m`, this.folder);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  [Symbol.dispose](): void {
    execFileSync("umount", ["--lazy", this.folder]);
    removeFolder(this.folder);
  }
}

function mount(...args: readonly string[]): void {
  execFileSync("mount", args, { stdio: "pipe" });
}

/** Enqueues large tasks until there is no room for one, and then small ones; the last refusal. Ids that were accepted are added. */
async function fill(client: Client, accepted: Set<string>): Promise<TaskqueueError> {
  let refusal: TaskqueueError | undefined;
  for (const text of [TEXT, "x".repeat(1_000), ""]) {
    refusal = undefined;
    for (let turn = 0; refusal === undefined && turn < FILL_TASKS_MAX; turn += 1) {
      const id = `filling-${accepted.size}`;
      await client.enqueue(filling, [text], { id }).then(
        () => accepted.add(id),
        (error: unknown) => {
          if (!(error instanceof TaskqueueError)) throw error;
          refusal = error;
        },
      );
    }
  }
  if (refusal === undefined) throw new Error("the disk is never full");
  return refusal;
}

async function waiting(client: Client): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const { id } of client.admin.listTasks({ topic: filling, state: "ready" })) ids.add(id);
  return ids;
}

test("a full disk refuses producers, lets workers finish, and loses nothing that was accepted", async ({ skip }) => {
  using disk = SmallDisk.mount();
  if (disk === undefined) return skip("mounting a tmpfs takes root, and the right to mount");
  await using crew = await Crew.start(1, ["--data", join(disk.folder, "data"), "--sync", "always"]);
  const [broker] = crew.brokers;
  await using client = new Client({ address: crew.addresses, retryForMs: 0 });
  let gate = () => {};
  const open = new Promise<void>((resolve) => {
    gate = resolve;
  });
  const entered = new Map<string, number>();
  await using worker = new Worker({ address: crew.addresses, concurrency: HELD });
  worker.register(held, async (_, task) => {
    entered.set(task.id, (entered.get(task.id) ?? 0) + 1);
    await open;
  });
  await worker.start();
  await client.enqueueMany(
    held,
    Array.from({ length: HELD }, (_, number): [number] => [number]),
  );
  await until("the worker holds tasks", () => entered.size === HELD);

  const accepted = new Set<string>();
  const refusal = await fill(client, accepted);
  expect(refusal).toMatchObject({ code: "STORE_FULL", status: Status.RESOURCE_EXHAUSTED, retryable: true });
  expect(refusal.message).toMatch(/disk .*is full/);
  expect(accepted.size).toBeGreaterThan(100);
  const full = { tasks: accepted.size, freeBytes: disk.freeBytes };
  await expect(client.enqueue(held, [0])).rejects.toMatchObject({ code: "STORE_FULL" });
  expect(await waiting(client)).toEqual(accepted);

  // Killed on the full disk, it starts on the full disk: its worker takes up its session, and can finish.
  await broker?.process.kill();
  await broker?.restart();
  expect(await until("it serves", () => waiting(client))).toEqual(accepted);
  gate();
  await until("what was held is done", async () => (await client.stats({ topic: held })).stats.completed === HELD, {
    timeoutMs: 10_000,
  });
  expect([...entered.values()].every((times) => times === 1)).toBe(true);
  expect((await client.stats()).stats).toMatchObject({ expired: 0, failed: 0, workQueueSize: 0 });

  // There is room, and nobody restarts anything.
  disk.grow();
  const grownMs = sharedMs();
  await until("enqueues are accepted", () => client.enqueue(filling, [TEXT], { id: "filling-room" }), {
    timeoutMs: 10_000,
  });
  const tookMs = sharedMs() - grownMs;
  accepted.add("filling-room");
  await broker?.process.kill();
  await broker?.restart();
  expect(await until("it serves", () => waiting(client))).toEqual(accepted);

  const done = new Set<string>();
  await using second = new Worker({ address: crew.addresses, concurrency: 100 });
  second.register(filling, (_, task) => {
    done.add(task.id);
  });
  await second.start();
  await until("everything accepted is done", () => done.size === accepted.size, { timeoutMs: 20_000 });
  expect(done).toEqual(accepted);
  tellFigures("a full disk", {
    diskMiB: SMALL_MIB,
    acceptedUntilFull: full.tasks,
    freeWhenFullKiB: full.freeBytes / 1024,
    refusedWith: refusal.code,
    completedWhileFull: HELD,
    acceptsAgainAfterMs: tookMs,
    lost: accepted.size - done.size,
  });
  expect(broker?.process.output).not.toMatch(/this is a bug|not consistent|INTERNAL/);
}, 60_000);
