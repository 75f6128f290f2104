/** docs/protocol.md against the protos, and its drawings against the table of states. */
import { describe, expect, test } from "vitest";
import { TRANSITIONS } from "../../server/domain/states.js";
import { files, read } from "../support/source.js";
import { moves, rowsUnder, section, unquoted } from "./markdown.js";

const text = read("docs/protocol.md");
const proto = files("proto/taskqueue", ".proto")
  .map((path) => read(path))
  .join("\n");

/** The table, one move per state it starts from. */
const table = Object.entries(TRANSITIONS).flatMap(([label, { from, to }]) =>
  from.map((each) => ({ from: each, to, label })),
);

describe("the life of a task", () => {
  test("the complete drawing shows every move, and no other", () => {
    const drawn = moves(text, 1).filter(({ from, to }) => from !== "[*]" && to !== "[*]");
    expect(new Set(drawn.map((move) => JSON.stringify(move)))).toEqual(
      new Set(table.map((move) => JSON.stringify(move))),
    );
    expect(drawn).toHaveLength(table.length);
  });

  test("the simple drawing shows moves that there are", () => {
    const drawn = moves(text, 0).filter(({ from }) => from !== "[*]");
    expect(drawn.length).toBeGreaterThan(3);
    for (const move of drawn) expect(table).toContainEqual(move);
  });

  test("the table says the same", () => {
    const rows = rowsUnder(text, "The life of a task").map(([move = "", from = "", to = ""]) => [
      unquoted(move),
      from.split(", ").map(unquoted),
      unquoted(to),
    ]);
    expect(rows).toEqual(Object.entries(TRANSITIONS).map(([move, { from, to }]) => [move, [...from], to]));
  });
});

describe("the services", () => {
  const services = [...proto.matchAll(/^service (\w+) \{([\s\S]*?)^\}/gm)].map(([, name = "", body = ""]) => ({
    name,
    rpcs: [...body.matchAll(/rpc (\w+)\((?:stream )?(\w+)\) returns \((?:stream )?(\w+)\)/g)].map(
      ([, rpc = "", request = "", response = ""]) => ({ rpc, request, response }),
    ),
  }));

  test("the protos were read", () => {
    expect(services.map(({ name, rpcs }) => [name, rpcs.length])).toEqual([
      ["AdminService", 12],
      ["BrokerService", 4],
      ["WorkerService", 2],
    ]);
  });

  test.each(services)("$name has a section for each of its calls, in their order", ({ name, rpcs }) => {
    const headings = [...section(text, name).matchAll(/^### (.*)$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual(rpcs.map(({ rpc }) => rpc));
  });

  test.each(services.flatMap(({ rpcs }) => rpcs))("$rpc names every field of its request and answer", (call) => {
    const shown = section(text, call.rpc);
    for (const field of [...fieldsOf(call.request), ...fieldsOf(call.response)]) {
      expect(shown, `${call.rpc}: ${field}`).toContain(`\`${field}\``);
    }
  });

  test("the stream of workers names every field of what travels on it", () => {
    const shown = section(text, "Lease");
    const messages = [
      "Hello",
      "TopicSubscription",
      "Resume",
      "WorkerUpdate",
      "Completed",
      "Failed",
      "Progress",
      "Welcome",
      "LeasedTask",
      "CancelRequest",
      "Drain",
    ];
    for (const field of messages.flatMap(fieldsOf)) {
      expect(shown, field).toMatch(new RegExp(`\\b${field}\\b`));
    }
  });
});

/** Names of the fields of a message, those of a oneof too. */
function fieldsOf(message: string): string[] {
  if (proto.includes(`\nmessage ${message} {}`)) return [];
  const body = new RegExp(`^message ${message} \\{\\n([\\s\\S]*?)^\\}`, "m").exec(proto)?.[1];
  if (body === undefined) throw new Error(`there is no message ${message}`);
  return [...body.matchAll(/^ +(?:optional |repeated )?[\w.<>, ]+ (\w+) = \d+;/gm)].map(([, field = ""]) => field);
}
