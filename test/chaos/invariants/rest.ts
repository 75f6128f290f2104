/** Once the faults are over: everything comes to its end, and nothing is left behind. */
import { recordsOf } from "../ledger.js";
import type { Invariant } from "./invariant.js";

/** No task waits or runs any more, within the bound that the run had set. */
export const everythingEnds: Invariant = (ledger, complain) => {
  const { history, snapshot, tasks } = ledger;
  for (const { afterMs, left } of recordsOf(history, "overdue")) {
    const rest = Object.entries(left).filter(([, count]) => count > 0);
    complain(
      `${afterMs} ms after the last fault there is still work: ${rest.map((entry) => entry.join(" ")).join(", ")}`,
    );
  }
  if (!snapshot) complain("the run came to no end");
  for (const { id, listed } of tasks.values()) {
    if (listed && !["dead", "completed", "cancelled"].includes(listed.state)) {
      complain(`is still ${listed.state} when everything is over`, { task: id });
    }
  }
};

/** No process ends but by a fault, or when its work is done. */
export const nobodyDies: Invariant = ({ history }, complain) => {
  for (const { process, code, expected } of recordsOf(history, "process:ended")) {
    if (!expected) complain(`${process} ended by itself with code ${code}`);
  }
};

const FILES_MORE_MAX = 3;
/** A young heap has grown by this much before anything is collected for good. */
const MORE_BYTES_MAX = 192 * 1024 * 1024;

/** A broker at rest takes up what it took up at its start, and a process leaves promptly, and well, when it is asked to. */
export const nothingLeaks: Invariant = ({ history }, complain, { exitMsMax }) => {
  const measured = recordsOf(history, "resources");
  for (const end of measured.filter(({ moment }) => moment === "end")) {
    const start = measured.find(({ process, moment }) => process === end.process && moment === "start");
    if (!start) continue;
    const { process } = end;
    if (end.files > start.files + FILES_MORE_MAX) {
      complain(`${process} has ${end.files} files open at rest, ${start.files} at its start`);
    }
    if (end.sockets > start.sockets + FILES_MORE_MAX) {
      complain(`${process} has ${end.sockets} sockets open at rest, ${start.sockets} at its start`);
    }
    if (end.residentBytes > start.residentBytes + MORE_BYTES_MAX) {
      complain(`${process} takes up ${mebi(end)} MiB at rest, ${mebi(start)} MiB at its start`);
    }
  }
  for (const { process, afterMs, code } of recordsOf(history, "stopped")) {
    if (code === -1) complain(`${process} did not exit on SIGTERM within ${afterMs} ms`);
    else if (afterMs > exitMsMax) complain(`${process} took ${afterMs} ms to exit on SIGTERM`);
    else if (code !== 0) complain(`${process} exited with code ${code} on SIGTERM`);
  }
};

function mebi({ residentBytes }: { readonly residentBytes: number }): number {
  return Math.round(residentBytes / 1024 / 1024);
}
