/** Unary Enqueue from a stock generated client, beside an empty unary method of the same server. */
import { LATENCY, latencyFigures, OTHERS } from "./columns.js";
import { cpuSeconds, machineBusySeconds } from "./cpu.js";
import { type Benchmark, runIfMain } from "./harness.js";
import type { UnaryCommands } from "./roles/unary.js";
import type { Distribution } from "./statistics.js";
import { durabilityOf, STORES } from "./systems.js";
import { Taskqueue } from "./taskqueue.js";

export const unary: Benchmark = {
  name: "unary",
  question: "what does a unary Enqueue cost, beside a unary method that does nothing?",
  method: [
    "The client is what ts-proto and nice-grpc generate, without the SDK, over one connection, with so",
    "many calls under way. enqueue: BrokerService.Enqueue with one task. check: Health.Check, the",
    "emptiest method of the same server: empty request, two bytes of answer, no store. The floor that",
    "grpc-js sets is thus a little lower than that of a method with enqueue's 100 bytes. Nobody works;",
    "at the end every task enqueued must be waiting.",
  ],
  options: {
    concurrency: { default: "1,100", help: "calls under way" },
    payload: { default: "100", help: "bytes of a task's JSON arguments" },
    system: { default: "redis,embedded", help: "redis, embedded" },
  },
  columns: [
    { figure: "rate", title: "calls/s", range: true },
    ...LATENCY,
    { figure: "brokerUs", title: "broker µs/call", digits: 1 },
    { figure: "redisUs", title: "redis µs/call", digits: 1 },
    { figure: "clientUs", title: "client µs/call", digits: 1 },
    OTHERS,
  ],
  cases: (options) =>
    options.someOf("system", STORES).flatMap((name) =>
      options.numbers("concurrency").flatMap((concurrency) =>
        (["check", "enqueue"] as const).map((method) => ({
          of: { system: name, durability: durabilityOf(name, options.system), "under way": concurrency, method },
          async measure() {
            await using system = await Taskqueue.start({ ...options.system, store: name });
            const config = { target: system.addresses[0], payloadBytes: options.number("payload") };
            await using client = await system.startRole("client", "roles/unary.ts", config);
            const call = (seconds: number) =>
              client.ask<{ calls: number; sent: number; seconds: number; latencies: Distribution }>({
                do: "call",
                ...({ method, concurrency, seconds } satisfies UnaryCommands["call"]),
              });
            await call(options.number("warmup"));
            const processes = [...system.servers, client];
            const [before, busyBefore] = [processes.map(({ pid }) => cpuSeconds(pid)), machineBusySeconds()];
            const { calls, sent, seconds, latencies } = await call(options.number("seconds"));
            const used = processes.map(({ pid }, index) => cpuSeconds(pid) - (before[index] ?? 0));
            const othersSeconds = machineBusySeconds() - busyBefore - used.reduce((sum, each) => sum + each, 0);
            const cpu = processes.map(
              ({ name: process }, index) => [`${process}Us`, ((used[index] ?? 0) / calls) * 1e6] as const,
            );
            const complaints = await system.audit(sent, true);
            if (complaints.length > 0) throw new Error(`WRONG COUNT: ${complaints.join("; ")}`);
            return {
              ...latencyFigures(latencies),
              rate: calls / seconds,
              ...Object.fromEntries(cpu),
              others: (othersSeconds / seconds) * 100,
            };
          },
        })),
      ),
    ),
  conclude: (rows) =>
    rows
      .filter(({ of }) => of.method === "enqueue")
      .map(({ of, medians }) => {
        const empty = rows.find(
          (row) => row.of.method === "check" && row.of.system === of.system && row.of["under way"] === of["under way"],
        );
        const percent = ((medians.rate ?? Number.NaN) / (empty?.medians.rate ?? Number.NaN)) * 100;
        return `${of.system}, ${of["under way"]} under way: Enqueue reaches ${percent.toFixed(0)} % of the empty method's rate`;
      }),
};

await runIfMain(import.meta, unary);
