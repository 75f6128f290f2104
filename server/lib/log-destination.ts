/** Where log lines go: standard error, as JSON for machines or as text for people. */
import { pino } from "pino";

/** Takes what pino makes: one line of JSON at a time. */
export interface LogDestination {
  write(line: string): void;
}

/** `auto` is pretty when a person looks at standard error. */
export function logDestination(format: "auto" | "json" | "pretty"): LogDestination {
  const pretty = format === "pretty" || (format === "auto" && process.stderr.isTTY === true);
  return pretty ? { write: (line) => void process.stderr.write(prettyLine(line)) } : pino.destination(2);
}

const LEVELS: Readonly<Record<string, string>> = { 20: "debug", 30: "info ", 40: "WARN ", 50: "ERROR", 60: "FATAL" };

/** `12:00:00.123 info  the broker serves  address=127.0.0.1:50051`. What is no JSON object stays as it is. */
export function prettyLine(line: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return line;
  }
  if (typeof parsed !== "object" || parsed === null) return line;
  const { level, time, msg, err, ...fields } = Object.fromEntries<unknown>(Object.entries(parsed));
  const at =
    typeof time === "number"
      ? `${new Date(time).toTimeString().slice(0, 8)}.${String(time % 1_000).padStart(3, "0")}`
      : "";
  const rest = Object.entries(fields).map(([name, value]) => {
    const text = typeof value === "string" && /^\S+$/.test(value) ? value : JSON.stringify(value);
    return `  ${name}=${text}`;
  });
  return `${at} ${LEVELS[String(level)] ?? level} ${msg ?? ""}${rest.join("")}\n${errorText(err)}`;
}

function errorText(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  const text = "stack" in error ? error.stack : "message" in error ? error.message : JSON.stringify(error);
  return `${String(text).replaceAll(/^/gm, "    ")}\n`;
}
