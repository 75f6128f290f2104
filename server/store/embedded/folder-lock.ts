/**
 * Lets one process at a time own a folder. The lock is a listening Unix socket
 * in the folder: the kernel closes it when its process dies, however it dies, so
 * a lock is never stale for longer than it takes to try it.
 *
 * Each contender first listens under a name that nobody else uses, then tries
 * the sockets of all others, removes the dead ones, and gives up when one is
 * alive. Of two that come at the same time at least one sees the other.
 */
import { closeSync, openSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { TaskqueueError } from "../../domain/errors.js";
import type { Clock } from "../../lib/clock.js";

/** Names of lock sockets within the folder. */
export const LOCK_NAME = /^lock-[0-9a-z-]+$/;

/** The kernel takes no longer socket paths; a byte ends them. */
const SOCKET_PATH_MAX = process.platform === "darwin" ? 103 : 107;
/** How long the owner may take to say its pid, which is asked out of courtesy only. */
const PID_WAIT_MS = 500;
const TRIES = 3;

export interface FolderLock {
  release(): Promise<void>;
}

/** Throws a TaskqueueError when another process owns the folder, or the same one does already. */
export async function lockFolder(dir: string, clock: Clock, random: () => number): Promise<FolderLock> {
  for (let attempt = 1; ; attempt++) {
    const name = `lock-${process.pid}-${Math.floor(random() * 2 ** 48).toString(36)}`;
    const lock = await listen(dir, name);
    const owner = await liveOwner(dir, name, clock);
    if (owner === undefined) return lock;
    await lock.release();
    // Whoever came at the same time saw this one and went away as well.
    if (attempt === TRIES) throw inUse(dir, owner);
    await new Promise<void>((resolve) => clock.after(20 + random() * 80, resolve));
  }
}

function inUse(dir: string, owner: string): TaskqueueError {
  const who = owner === "" ? "another process" : `process ${owner}`;
  return new TaskqueueError("STORE_UNAVAILABLE", `${dir} is in use by ${who}; a data folder serves one broker`);
}

async function listen(dir: string, name: string): Promise<FolderLock> {
  const server = createServer((socket) => {
    // A prober that hangs up at once is no concern of the owner's.
    socket.on("error", () => socket.destroy());
    socket.end(String(process.pid));
  });
  const { path, done } = socketPath(dir, name);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TaskqueueError("STORE_UNAVAILABLE", `${dir} cannot be locked: ${reason}`, { cause: error });
  } finally {
    done();
  }
  server.unref();
  return { release: () => close(server, join(dir, name)) };
}

async function close(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
  // The path that was listened on may have been a short form of this one.
  rmSync(path, { force: true });
}

/** The pid of the process that owns the folder, empty when it does not say; undefined when nobody owns it. */
async function liveOwner(dir: string, own: string, clock: Clock): Promise<string | undefined> {
  for (const name of readdirSync(dir).filter((file) => LOCK_NAME.test(file) && file !== own)) {
    const owner = await probe(dir, name, clock);
    if (owner !== undefined) return owner;
    rmSync(join(dir, name), { force: true });
  }
  return undefined;
}

function probe(dir: string, name: string, clock: Clock): Promise<string | undefined> {
  const { path, done } = socketPath(dir, name);
  return new Promise<string | undefined>((resolve) => {
    let pid = "";
    const socket = connect(path);
    const cancel = clock.after(PID_WAIT_MS, () => finish(pid));
    const finish = (owner: string | undefined) => {
      cancel();
      socket.destroy();
      resolve(owner);
    };
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      pid += text;
    });
    socket.on("end", () => finish(pid));
    socket.on("error", (error) => {
      const code = "code" in error ? error.code : undefined;
      // Only these say that nobody listens; anything else is taken for an owner.
      finish(code === "ECONNREFUSED" || code === "ENOENT" ? undefined : pid);
    });
  }).finally(done);
}

/** A path short enough for a socket: long ones go through a descriptor of the folder, where there is such a thing. */
function socketPath(dir: string, name: string): { readonly path: string; done(): void } {
  const path = join(dir, name);
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX || process.platform !== "linux") return { path, done() {} };
  const fd = openSync(dir, "r");
  return { path: `/proc/self/fd/${fd}/${name}`, done: () => closeSync(fd) };
}
