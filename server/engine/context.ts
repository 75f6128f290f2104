/** What every part of one namespace's engine is given; nothing is global. */
import type { Millis } from "../domain/task.js";
import type { Clock } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import type { Turn } from "../lib/turn.js";
import type { Store } from "../store/store.js";
import type { AttemptWatch } from "./attempt-watch.js";
import type { CallsUnderWay } from "./calls-under-way.js";
import type { EventLog } from "./event-log.js";
import type { EngineOptions } from "./options.js";
import type { Retries } from "./retries.js";
import type { SettingsCache } from "./settings-cache.js";

export interface EngineContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** The lanes' calls of one turn of the event loop go to the store together. */
  readonly turn: Turn;
  readonly retries: Retries;
  readonly options: EngineOptions;
  /** Milliseconds on the store's clock. */
  readonly now: () => Millis;
  readonly events: EventLog;
  readonly settings: SettingsCache;
  readonly attempts: AttemptWatch;
  /** Calls of the straight way whose leases have not been dealt with. */
  readonly straightCalls: CallsUnderWay;
}
