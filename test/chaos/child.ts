/** What the child processes of a run have in common: their orders, their record, their end. */
import { Recorder } from "./history.js";

/** One of the queues that a child serves, and how it gets there. */
export interface QueueAddress {
  readonly queue: string;
  readonly addresses: readonly string[];
}

export interface ChildOrders {
  readonly folder: string;
  /** The process, with the number of its life: `worker-1#3`. */
  readonly name: string;
  readonly seed: number;
  readonly queues: readonly QueueAddress[];
  /** By name, of workload.ts. */
  readonly topics: readonly string[];
}

export interface ProducerOrders extends ChildOrders {
  /** Calls in a second, to each queue. */
  readonly callsPerSecond: number;
  /** The part of the calls, 0 to 1, that is made again after it was answered. */
  readonly repeated: number;
  /** Ends by itself after so many calls to each queue; 0: never. */
  readonly callsMax: number;
}

export interface WorkerOrders extends ChildOrders {
  readonly concurrency: number;
}

/** The line that a child prints when it is at work. */
export const AT_WORK = "at work";

/** The orders a child was started with: JSON in its only argument. */
export function readOrders<Orders extends ChildOrders>(): { orders: Orders; recorder: Recorder } {
  const orders: Orders = JSON.parse(process.argv[2] ?? "{}");
  return { orders, recorder: new Recorder(orders.folder, orders.name) };
}

export function tellAtWork(): void {
  process.stdout.write(`${AT_WORK}\n`);
}

/** Resolves at the first SIGTERM. */
export function asked(): Promise<void> {
  return new Promise((resolve) => process.once("SIGTERM", () => resolve()));
}
