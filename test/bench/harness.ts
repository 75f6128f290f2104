/**
 * Runs a benchmark: reads its options, runs its cases in alternating rounds,
 * prints medians with machine, versions, command and method, and keeps a record
 * in results/.
 *
 * Alternating means: all cases once, then all cases again. A slow minute of the
 * machine then hurts every case, and no ratio. Each run starts fresh processes.
 */
import { parseArgs } from "node:util";
import { describeMachine, type Machine } from "./machine.js";
import { profileTables } from "./profile.js";
import { keepRecord } from "./record.js";
import type { Figures } from "./stage.js";
import { median } from "./statistics.js";
import { formatNumber, formatTable } from "./table.js";

/** How a figure is printed: its name, the heading, digits behind the point. */
export interface Column {
  readonly figure: string;
  readonly title: string;
  readonly digits?: number;
  /** Also the range over the rounds. */
  readonly range?: boolean;
}

export interface Case {
  /** What sets it apart; the first columns of the table. */
  readonly of: Readonly<Record<string, string | number>>;
  /** One run. Throws when a count is wrong. */
  measure(): Promise<Figures>;
}

/** The medians of a case, and the figures of each round. */
export interface Row {
  readonly of: Case["of"];
  readonly medians: Figures;
  readonly rounds: readonly Figures[];
}

export interface Option {
  readonly default: string;
  readonly help: string;
}

export interface Benchmark {
  readonly name: string;
  readonly question: string;
  /** How the answer is found; printed with it. */
  readonly method: readonly string[];
  readonly options: Readonly<Record<string, Option>>;
  readonly columns: readonly Column[];
  /** Before the first run; what it returns is printed. */
  prepare?(options: Options): Promise<readonly string[]>;
  cases(options: Options): Case[];
  /** Lines to print below the table, such as ratios. */
  conclude?(rows: readonly Row[], options: Options): readonly string[];
}

/** Options every benchmark has. */
const COMMON = {
  rounds: { default: "3", help: "how often each case is run; medians are printed" },
  seconds: { default: "5", help: "length of a measurement" },
  warmup: { default: "8", help: "seconds of the same load before it; less shows code that V8 is still compiling" },
  appendonly: {
    default: "everysec",
    help: "fsync of Redis' append-only file (and of a peer's log): always, everysec, no",
  },
  sync: { default: "everysec", help: "fsync of the embedded store: always, everysec, no" },
  profile: {
    default: "",
    help: "write CPU profiles of our own processes into this folder, and print the top of them: of the last run",
  },
  keep: { default: "", help: "keep the record as results/kept/<name>.json, to be quoted" },
} as const satisfies Record<string, Option>;

/** The options of a run, by name without dashes. */
export class Options {
  readonly #values: ReadonlyMap<string, string>;

  constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }

  text(name: string): string {
    const value = this.#values.get(name);
    if (value === undefined) throw new Error(`there is no option --${name}`);
    return value;
  }

  number(name: string): number {
    return toNumber(name, this.text(name));
  }

  /** Given as `a,b,c`. */
  list(name: string): string[] {
    return this.text(name)
      .split(",")
      .filter((each) => each !== "");
  }

  numbers(name: string): number[] {
    return this.list(name).map((each) => toNumber(name, each));
  }

  oneOf<const Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    return toChoice(name, this.text(name), choices);
  }

  someOf<const Choice extends string>(name: string, choices: readonly Choice[]): Choice[] {
    return this.list(name).map((each) => toChoice(name, each, choices));
  }

  /** What every system is told. */
  get system() {
    const modes = ["always", "everysec", "no"] as const;
    const profile = this.text("profile") || undefined;
    return { appendonly: this.oneOf("appendonly", modes), sync: this.oneOf("sync", modes), profile };
  }
}

function toNumber(name: string, text: string): number {
  const value = Number(text.replaceAll("_", ""));
  if (text === "" || !Number.isFinite(value)) throw new Error(`--${name} takes numbers (got "${text}")`);
  return value;
}

function toChoice<const Choice extends string>(name: string, text: string, choices: readonly Choice[]): Choice {
  const choice = choices.find((each) => each === text);
  if (choice === undefined) throw new Error(`--${name} takes ${choices.join(", ")} (got "${text}")`);
  return choice;
}

/** Runs one benchmark with the command line's arguments, or prints its help. */
export async function run(benchmark: Benchmark, args: readonly string[]): Promise<void> {
  const known: Record<string, Option> = { ...benchmark.options, ...COMMON };
  if (args.includes("--help")) return print(help(benchmark, known));
  const flags = Object.fromEntries(Object.keys(known).map((name) => [name, { type: "string" as const }]));
  const { values } = parseArgs({ args: [...args], options: flags });
  const given = Object.entries(known).map(([name, row]) => [name, String(values[name] ?? row.default)] as const);
  const options = new Options(new Map(given));
  const command = [`test/bench/${benchmark.name}.ts`, ...args].join(" ");
  const machine = describeMachine();
  print(heading(benchmark, machine, command));
  for (const line of (await benchmark.prepare?.(options)) ?? []) print(line);

  const cases = benchmark.cases(options);
  const rows = await runRounds(cases, options.number("rounds"));
  const conclusions = benchmark.conclude?.(rows, options) ?? [];
  print(`\n${table(benchmark, rows)}\n`);
  for (const line of conclusions) print(line);
  if (conclusions.length > 0) print("");
  if (options.text("profile") !== "") for (const text of profileTables(options.text("profile"))) print(text);
  const { name, question } = benchmark;
  const record = { benchmark: name, question, at: new Date().toISOString(), command, machine, rows, conclusions };
  print(`Recorded in ${keepRecord(record, options.text("keep"))}.\n`);
}

/** Runs the benchmark when its file is the program that was started. */
export async function runIfMain(meta: ImportMeta, benchmark: Benchmark): Promise<void> {
  if (process.argv[1] === undefined || new URL(`file://${process.argv[1]}`).pathname !== new URL(meta.url).pathname)
    return;
  await run(benchmark, process.argv.slice(2)).catch(giveUp);
}

/** Says what went wrong, and exits with a status that says so too. */
export function giveUp(error: unknown): never {
  process.stderr.write(`\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(1);
}

async function runRounds(cases: readonly Case[], rounds: number): Promise<Row[]> {
  const figures: Figures[][] = cases.map(() => []);
  const total = rounds * cases.length;
  for (let round = 0, done = 0; round < rounds; round += 1) {
    for (const [index, { of, measure }] of cases.entries()) {
      done += 1;
      progress(`run ${done} of ${total}: ${Object.values(of).join(", ")}`);
      figures[index]?.push(await measure());
    }
  }
  progress("");
  return cases.map(({ of }, index) => {
    const own = figures[index] ?? [];
    const names = [...new Set(own.flatMap((each) => Object.keys(each)))];
    const middle = (name: string) => median(own.flatMap((each) => each[name] ?? []));
    return { of, medians: Object.fromEntries(names.map((name) => [name, middle(name)])), rounds: own };
  });
}

function table({ columns }: Benchmark, rows: readonly Row[]): string {
  const labels = Object.keys(rows[0]?.of ?? {});
  const taken = columns.filter(({ figure }) => rows.some(({ medians }) => medians[figure] !== undefined));
  const ranged = rows.some(({ rounds }) => rounds.length > 1);
  const header = [...labels, ...taken.flatMap(({ title, range }) => (range && ranged ? [title, "(range)"] : [title]))];
  return formatTable(
    header,
    rows.map(({ of, medians, rounds }) => [
      ...Object.values(of).map((value) => (typeof value === "number" ? formatNumber(value) : value)),
      ...taken.flatMap(({ figure, digits, range }) => {
        const own = rounds.flatMap((each) => each[figure] ?? []);
        const text = formatNumber(medians[figure], digits);
        if (!range || !ranged) return [text];
        return [text, `${formatNumber(Math.min(...own), digits)}–${formatNumber(Math.max(...own), digits)}`];
      }),
    ]),
  );
}

function heading({ name, question, method }: Benchmark, machine: Machine, command: string): string {
  const { cpu, cores, memoryGiB, kernel, node, redis, taskqueue, commit, load } = machine;
  return [
    `\n=== ${name}: ${question}`,
    ...method.map((line) => `    ${line}`),
    "",
    `machine   ${cores} x ${cpu}, ${memoryGiB} GiB, Linux ${kernel}, load ${load.toFixed(2)} before`,
    `versions  taskqueue ${taskqueue} (${commit}), Node ${node}, Redis ${redis}`,
    `command   ${command}`,
    ...(load > 0.3 ? ["          The machine is not quiet: take the ratios, not the figures."] : []),
  ].join("\n");
}

function help({ name, question, method, options }: Benchmark, known: Record<string, Option>): string {
  const row = ([flag, { default: byDefault, help: text }]: [string, Option]) =>
    `  --${flag.padEnd(14)} ${text}${byDefault === "" ? "" : ` (${byDefault})`}`;
  const own = Object.entries(options);
  const common = Object.entries(known).filter(([flag]) => !(flag in options));
  return [`${name}: ${question}`, ...method.map((line) => `  ${line}`), "", ...[...own, ...common].map(row)].join("\n");
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One line that is written over, on a terminal; a line each elsewhere. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
  else if (text !== "") process.stderr.write(`${text}\n`);
}
