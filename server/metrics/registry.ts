/**
 * Every metric of the broker: name, type, unit, labels, help. Counters of tasks
 * come from the store's own stats, so that all brokers of a namespace tell the
 * same; what is measured here concerns this process alone.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** A timer of this interval runs as long as the broker does: the 10 ms that it is by default cost an idle one half of its CPU time. */
const EVENT_LOOP_PRECISION_MS = 100;

export class Metrics {
  readonly registry = new Registry();

  /** How long each store verb took, by verb and outcome. */
  readonly storeCallSeconds = new Histogram({
    name: "taskqueue_store_call_duration_seconds",
    help: "Duration of store calls by verb and outcome (ok, or the error's code).",
    labelNames: ["verb", "outcome"],
    buckets: [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1, 5],
    registers: [this.registry],
  });

  /** Tasks in store calls, by verb: with the call count it tells the batch size. */
  readonly storeCallTasks = new Counter({
    name: "taskqueue_store_call_tasks_total",
    help: "Tasks that store calls were about, by verb.",
    labelNames: ["verb"],
    registers: [this.registry],
  });

  readonly workersAttached = new Gauge({
    name: "taskqueue_workers_attached",
    help: "Workers whose stream this broker holds.",
    registers: [this.registry],
  });

  readonly leasesHeld = new Gauge({
    name: "taskqueue_leases_held",
    help: "Tasks held by workers that are attached to this broker.",
    registers: [this.registry],
  });

  readonly eventsDropped = new Gauge({
    name: "taskqueue_events_dropped_total",
    help: "Events that watchers were not told of: more than --events-per-second, or the log was away.",
    registers: [this.registry],
  });

  /** What scrubs found; each problem is in the log as well. */
  readonly scrubProblems = new Counter({
    name: "taskqueue_scrub_problems_total",
    help: "Inconsistencies found in the store, by problem and whether they were repaired.",
    labelNames: ["problem", "repaired"],
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS });
  }
}
