/** Checks values by Standard Schema, on either side. */
import { TaskqueueError } from "./errors.js";
import type { SchemaIssue, StandardSchema } from "./topic.js";

/**
 * What the schema makes of the value; at once, unless the schema is
 * asynchronous. Without a schema, the value itself.
 *
 * @throws TaskqueueError INVALID_INPUT naming the first issue's path, below `name`
 */
export function checked(schema: StandardSchema | undefined, value: unknown, name: string): unknown {
  if (schema === undefined) return value;
  const result = schema["~standard"].validate(value);
  return result instanceof Promise ? result.then((settled) => output(settled, name)) : output(result, name);
}

function output(
  result: { readonly value?: unknown; readonly issues?: readonly SchemaIssue[] | undefined },
  name: string,
): unknown {
  if (result.issues === undefined) return result.value;
  const [first] = result.issues;
  const path = pathOf(name, first);
  const more = result.issues.length > 1 ? ` (and ${result.issues.length - 1} more)` : "";
  throw new TaskqueueError("INVALID_INPUT", `${path}: ${first?.message ?? "refused by the schema"}${more}`, {
    field: path,
  });
}

function pathOf(name: string, issue: SchemaIssue | undefined): string {
  let path = name;
  for (const segment of issue?.path ?? []) {
    const key = typeof segment === "object" ? segment.key : segment;
    path += typeof key === "number" || /^\d+$/.test(String(key)) ? `[${String(key)}]` : `.${String(key)}`;
  }
  return path;
}
