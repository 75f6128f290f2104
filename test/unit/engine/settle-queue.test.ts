import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SettleQueue, type UpdateReceipt } from "../../../server/engine/settle-queue.js";
import type { ReportReceipt } from "../../../server/engine/worker-session.js";
import { SEED } from "../../support/arbitraries.js";
import { heldLease } from "../../support/held-lease.js";

const LEASE = heldLease({});

function rig() {
  const told: number[] = [];
  const heard: string[] = [];
  const queue = new SettleQueue((number) => told.push(number));
  const session: ReportReceipt = {
    stored: (_lease, held) => heard.push(`stored ${held}`),
    noted: (_lease, held) => heard.push(`noted ${held}`),
    abandoned: () => heard.push("abandoned"),
  };
  const update = (number: number, reports: number): UpdateReceipt => {
    const receipt = queue.open(number);
    for (let report = 0; report < reports; report += 1) {
      receipt.pending++;
      receipt.bind(session);
    }
    queue.close(receipt);
    return receipt;
  };
  return { told, heard, queue, update };
}

describe("the settle queue", () => {
  test("tells an update when its last report is stored", () => {
    const { told, heard, update } = rig();
    const receipt = update(1, 2);
    receipt.stored(LEASE, true);
    expect(told).toEqual([]);
    receipt.noted(LEASE, false);
    expect(told).toEqual([1]);
    expect(heard).toEqual(["stored true", "noted false"]);
  });

  test("tells one without reports at once, and nothing of one without a number", () => {
    const { told, update } = rig();
    update(4, 0);
    update(0, 0);
    expect(told).toEqual([4]);
  });

  test("never tells of a report that was abandoned, nor of later ones", () => {
    const { told, heard, update } = rig();
    const first = update(1, 1);
    const second = update(2, 1);
    first.abandoned(LEASE);
    second.stored(LEASE, true);
    expect(told).toEqual([]);
    expect(heard).toEqual(["abandoned", "stored true"]);
  });

  test("does not tell of an update that is still being read", () => {
    const { told, queue } = rig();
    const receipt = queue.open(1);
    receipt.pending++;
    receipt.stored(LEASE, true);
    expect(told).toEqual([]);
    queue.close(receipt);
    expect(told).toEqual([1]);
  });

  test("tells numbers that rise, each once all before it are stored, in whatever order they are", () => {
    const updates = fc.array(fc.nat(3), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(updates, fc.infiniteStream(fc.nat()), (counts, draw) => {
        const { told, update } = rig();
        const left = counts.flatMap((reports, index) => {
          const receipt = update(index + 1, reports);
          return Array.from({ length: reports }, () => ({ receipt, number: index + 1 }));
        });
        while (left.length > 0) {
          const [one] = left.splice((draw.next().value ?? 0) % left.length, 1);
          one?.receipt.stored(LEASE, true);
          const firstOpen = Math.min(...left.map(({ number }) => number), counts.length + 1);
          expect(told.at(-1) ?? 0).toBe(firstOpen - 1);
        }
        expect(told).toEqual([...new Set(told)].toSorted((a, b) => a - b));
        expect(told.at(-1)).toBe(counts.length);
      }),
      { seed: SEED },
    );
  });
});
