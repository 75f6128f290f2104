/** What an engine is told at its start; config.ts fills it in. */
import { DEFAULTS, LIMITS } from "../domain/limits.js";

export interface EngineOptions {
  /** This broker's name in events and worker lists. */
  readonly broker: string;
  readonly version: string;
  /** How long a session outlives its lost stream. */
  readonly graceMs: number;
  /** How long a worker may owe a sign of life on a live stream. */
  readonly sessionTimeoutMs: number;
  /** How long a worker may be quiet before it is asked for a sign of life. */
  readonly heartbeatMs: number;
  /** The slow sweep behind the wake-ups. */
  readonly sweepMs: number;
  /** How long the ids of ended tasks are remembered; 0 not at all. */
  readonly endedWindowMs: number;
  readonly taskBytesMax: number;
  /** Tasks and bytes the namespace may hold, about; 0: no bound. */
  readonly tasksMax: number;
  readonly bytesMax: number;
  /** How often a piece of the store is scrubbed; 0 never. */
  readonly scrubMs: number;
  /** How long a worker may take to stop a cancelled or timed-out attempt before its lease ends. */
  readonly cancelGraceMs: number;
  /** Whether events are appended only while somebody watches. */
  readonly events: "watched" | "always";
  /** Events appended per second, at most; 0: no bound. */
  readonly eventsPerSecond: number;
}

export const DEFAULT_ENGINE_OPTIONS: EngineOptions = {
  broker: "broker",
  version: "0.0.0",
  graceMs: DEFAULTS.graceMs,
  sessionTimeoutMs: DEFAULTS.sessionTimeoutMs,
  heartbeatMs: DEFAULTS.heartbeatMs,
  sweepMs: DEFAULTS.sweepMs,
  endedWindowMs: DEFAULTS.endedWindowMs,
  taskBytesMax: LIMITS.taskBytesMax,
  tasksMax: 0,
  bytesMax: 0,
  scrubMs: DEFAULTS.scrubMs,
  cancelGraceMs: DEFAULTS.cancelGraceMs,
  events: "watched",
  eventsPerSecond: DEFAULTS.eventsPerSecond,
};
