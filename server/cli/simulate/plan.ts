/** What a simulation is told, and what each of its producers and workers knows of it. */

/** The options of the command, parsed; durations in milliseconds. */
export interface SimulateOptions {
  readonly concurrency: number;
  readonly fillTime: number;
  readonly runTime: number;
  readonly logInterval: number;
  readonly pollInterval: number;
  readonly numRetries: number;
  readonly redis?: string;
  readonly redisNamespace: string;
  readonly redisDb: number;
  readonly topics: readonly string[];
  readonly failureRate: number;
  readonly shutdownTimeout: number;
  readonly address?: string;
  readonly duration?: number;
  readonly count?: number;
  readonly burst: number;
  readonly seed?: number;
  readonly producers: number;
  readonly workers: number;
  readonly timeout?: number;
  readonly hangRate: number;
  readonly crashRate: number;
  readonly json?: boolean | undefined;
}

/** The part that producers and workers need. Travels to child processes as JSON. */
export interface Plan {
  /** Tells this run's tasks from others: it is their external id, and their ids begin with it. */
  readonly run: string;
  readonly address: readonly string[];
  readonly seed: number;
  readonly topics: readonly string[];
  readonly concurrency: number;
  readonly fillTimeMs: number;
  readonly runTimeMs: number;
  readonly numRetries: number;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly failureRate: number;
  readonly hangRate: number;
  readonly crashRate: number;
  readonly burst: number;
}

export function makePlan(options: SimulateOptions, run: string, address: string): Plan {
  return {
    run,
    address: address.split(",").map((part) => part.trim()),
    seed: options.seed ?? 0,
    topics: options.topics,
    concurrency: options.concurrency,
    fillTimeMs: options.fillTime,
    runTimeMs: options.runTime,
    numRetries: options.numRetries,
    timeoutMs: options.timeout ?? 0,
    failureRate: options.failureRate,
    hangRate: options.hangRate,
    crashRate: options.crashRate,
    burst: options.burst,
  };
}

/** The n-th task of a producer. */
export function taskIdOf(run: string, producer: number, number: number): string {
  return `${run}-${producer}-${number}`;
}

/** The producer and number that `taskIdOf` joined; undefined for tasks of other runs. */
export function taskOf(run: string, id: string): { readonly producer: number; readonly number: number } | undefined {
  const match = /^(.+)-(\d+)-(\d+)$/.exec(id);
  return match?.[1] === run ? { producer: Number(match[2]), number: Number(match[3]) } : undefined;
}
