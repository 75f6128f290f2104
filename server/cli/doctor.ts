/** `taskqueue doctor`: proves that what the store holds is consistent, and puts it right. */
import type { ScrubProblem } from "@taskqueue/sdk";
import type { Command } from "commander";
import { type BrokerOptions, topic, withBroker } from "./argument.js";
import { withClient } from "./client.js";
import type { Context } from "./context.js";
import { EXIT_CODES, type ExitCode } from "./exit-code.js";
import { type Column, jsonLine, pick, printRows } from "./output.js";
import { type Act, examples } from "./program-form.js";
import { plural } from "./task-view.js";

interface Options extends BrokerOptions {
  readonly repair?: boolean;
}

const COLUMNS: readonly Column<ScrubProblem>[] = [
  { title: "TOPIC", cell: ({ topic }) => topic },
  { title: "PROBLEM", cell: ({ kind }) => kind },
  { title: "TASK", cell: ({ taskId }) => taskId ?? "" },
  { title: "REPAIRED", cell: ({ repaired }) => (repaired ? "yes" : "no") },
  { title: "DETAIL", cell: ({ detail }) => detail },
];

export function addDoctor(program: Command, context: Context, act: Act): void {
  const command = program
    .command("doctor")
    .summary("prove that what the store holds is consistent")
    .description(
      "Looks at every task, lease and index entry, and tells what does not fit together. Brokers do the same by " +
        "themselves, slowly. Exits with 1 when problems were found, repaired or not.",
    )
    .argument("[topic]", "of this topic alone", topic)
    .option("--repair", "put right what can be put right; nothing accepted is lost, a task may run once more");
  examples(withBroker(command, context.environment), [
    "taskqueue doctor",
    "taskqueue doctor clicks --repair",
    "taskqueue doctor --json | jq .problem",
  ]).action(act((topicName: string | undefined, options: Options) => doctor(context, topicName, options)));
}

async function doctor(context: Context, topicName: string | undefined, options: Options): Promise<ExitCode> {
  const { json, repair = false } = options;
  return await withClient(context, options, async (client) => {
    const problems: ScrubProblem[] = [];
    let checked = 0;
    const pieces = client.admin.scrub({ repair, ...(topicName === undefined ? {} : { topic: topicName }) });
    for await (const piece of pieces) {
      checked += piece.checked;
      problems.push(...piece.problems);
      if (!json) continue;
      for (const problem of piece.problems) {
        await context.stdout.write(
          jsonLine({ problem: pick(problem, ["topic", "kind", "taskId", "detail", "repaired"]) }),
        );
      }
    }
    const repaired = problems.filter((problem) => problem.repaired).length;
    if (json) {
      await context.stdout.write(jsonLine({ checked, problems: problems.length, repaired }));
    } else {
      if (problems.length > 0) await printRows(context, problems, { columns: COLUMNS, toJson: (problem) => problem });
      await context.stdout.write(`checked ${plural(checked, "thing")}: ${verdict(problems.length, repaired)}\n`);
    }
    return problems.length === 0 ? EXIT_CODES.ok.code : EXIT_CODES.failed.code;
  });
}

function verdict(found: number, repaired: number): string {
  if (found === 0) return "all is well";
  return `${plural(found, "problem")}, ${repaired === found ? "all" : repaired} repaired`;
}
