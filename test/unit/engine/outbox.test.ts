import { describe, expect, test } from "vitest";
import { Outbox } from "../../../server/engine/outbox.js";
import { heldLease } from "../../support/held-lease.js";

const MIB = 1024 * 1024;

function rig() {
  const deliveries: string[] = [];
  const outbox = new Outbox((number, count) => deliveries.push(`${number}: ${count}`));
  return { outbox, deliveries };
}

describe("an outbox", () => {
  test("is empty at first, and again when everything was taken", () => {
    const { outbox } = rig();
    expect(outbox.filled).toBe(false);
    expect(outbox.take()).toBeUndefined();
    outbox.settled(1);
    expect(outbox.filled).toBe(true);
    outbox.take();
    expect(outbox.filled).toBe(false);
    expect(outbox.take()).toBeUndefined();
  });

  test("gives everything it has in one delivery, each thing once", () => {
    const { outbox } = rig();
    const lease = heldLease({});
    outbox.lease(lease);
    outbox.settled(3);
    outbox.settled(5);
    outbox.lost("x");
    outbox.cancel("y", "timeout");
    outbox.drain(10);
    outbox.heartbeat(2);
    expect(outbox.take()).toEqual({
      number: 1,
      leased: [lease],
      settled: 5,
      lost: ["x"],
      cancels: [{ token: "y", reason: "timeout" }],
      drainMs: 10,
      heartbeat: 2,
    });
    outbox.lost("z");
    expect(outbox.take()).toEqual({
      number: 0,
      leased: [],
      settled: 0,
      lost: ["z"],
      cancels: [],
      drainMs: undefined,
      heartbeat: 0,
    });
  });

  test("numbers deliveries that carry tasks, and marks the tasks", () => {
    const { outbox, deliveries } = rig();
    const [a, b, c] = [heldLease({ id: "a" }), heldLease({ id: "b" }), heldLease({ id: "c" })];
    outbox.lease(a);
    outbox.lease(b);
    expect(outbox.take()?.number).toBe(1);
    outbox.settled(1);
    expect(outbox.take()?.number).toBe(0);
    outbox.lease(c);
    expect(outbox.take()?.number).toBe(2);
    expect([a, b, c].map((lease) => lease.delivery)).toEqual([1, 1, 2]);
    expect(deliveries).toEqual(["1: 2", "2: 1"]);
  });

  test("splits what is too large for one delivery, and is stalled as long as tasks wait", () => {
    const { outbox, deliveries } = rig();
    const sizes = [0.6, 0.6, 3, 0.2, 0.2];
    expect(outbox.stalled).toBe(false);
    for (const [index, size] of sizes.entries()) outbox.lease(heldLease({ id: `t${index}`, bytes: size * MIB }));
    const taken: string[] = [];
    while (outbox.filled) {
      expect(outbox.stalled).toBe(true);
      taken.push(
        outbox
          .take()
          ?.leased.map((lease) => lease.id)
          .join() ?? "",
      );
    }
    expect(taken).toEqual(["t0", "t1", "t2", "t3,t4"]);
    expect(deliveries.length).toBe(4);
    expect(outbox.stalled).toBe(false);
  });

  test("tells once when there is something, at once if there is already", () => {
    const { outbox } = rig();
    let told = 0;
    outbox.whenFilled(() => told++);
    expect(told).toBe(0);
    outbox.settled(1);
    outbox.lost("x");
    expect(told).toBe(1);
    outbox.whenFilled(() => told++);
    expect(told).toBe(2);
  });
});
