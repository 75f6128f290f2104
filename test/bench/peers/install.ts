/**
 * Puts the peers in place when they are asked for: npm for BullMQ, apt-get for
 * beanstalkd, the Go toolchain for asynq. A peer that cannot be had is left out
 * of the comparison, with the reason.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { PeerName } from "../systems.js";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const SERVICE_POLICY = "/usr/sbin/policy-rc.d";

/** Undefined when the peer is there, else why it is not. */
export function install(peer: PeerName): string | undefined {
  try {
    INSTALLERS[peer]();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.split("\n")[0] : String(error);
  }
}

const INSTALLERS: Record<PeerName, () => void> = {
  bullmq() {
    if (!existsSync(`${FOLDER}node_modules/bullmq`)) execute("npm", ["install", "--silent"], FOLDER);
  },
  beanstalkd() {
    if (has("beanstalkd")) return;
    if (!has("apt-get") || process.getuid?.() !== 0) throw new Error("install the package beanstalkd by hand");
    // Debian starts a service on installation, unless this file says no.
    const created = !existsSync(SERVICE_POLICY);
    if (created)
      execute("sh", ["-c", `printf '#!/bin/sh\\nexit 101\\n' > ${SERVICE_POLICY}; chmod 755 ${SERVICE_POLICY}`]);
    try {
      execute("apt-get", ["update"]);
      execute("apt-get", ["install", "-y", "--no-install-recommends", "beanstalkd"]);
    } finally {
      if (created) execute("rm", [SERVICE_POLICY]);
    }
  },
  asynq() {
    if (!has("go")) throw new Error("it needs Go");
    execute("go", ["build", "-o", "asynq", "."], `${FOLDER}asynq`);
  },
};

function has(program: string): boolean {
  try {
    execute("sh", ["-c", `command -v ${program}`]);
    return true;
  } catch {
    return false;
  }
}

function execute(command: string, args: readonly string[], cwd = FOLDER): void {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  execFileSync(command, args, { cwd, env, stdio: ["ignore", "ignore", "pipe"] });
}
