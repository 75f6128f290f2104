/**
 * What the benchmark's tasks carry, in every system the same JSON: the task's
 * number, when enqueue was called, when it was meant to run, and padding.
 */
export type Body = [n: number, callUs: number, dueUs: number, padding: string];

/** Padding that makes a body of about `bytes` bytes of JSON. */
export function paddingFor(bytes: number, atUs: number): string {
  const bare: Body = [1_000_000, atUs, atUs, ""];
  return "x".repeat(Math.max(0, bytes - JSON.stringify(bare).length));
}

/** Tasks are spread over topics by their number. */
export function topicName(index: number): string {
  return `bench-${index}`;
}
