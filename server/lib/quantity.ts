/**
 * Durations and sizes as people write them (`500ms`, `1h30m`, `64KiB`), to and
 * from plain numbers of milliseconds and bytes.
 *
 * Whatever `formatDuration` and `formatBytes` give, the parsers read back as
 * the same number.
 */
const MILLISECONDS = new Map([
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
]);

const BYTES = new Map([
  ["GiB", 1024 ** 3],
  ["MiB", 1024 ** 2],
  ["KiB", 1024],
  ["B", 1],
]);

const DURATION = /^-?(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;
const SIZE = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)?$/;

/** Milliseconds, rounded to whole ones, or undefined when the text is no duration. `0` needs no unit. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!DURATION.test(text)) return undefined;
  let ms = 0;
  for (const [, amount = "", unit = ""] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    ms += Number(amount) * (MILLISECONDS.get(unit) ?? Number.NaN);
  }
  const rounded = Math.round(ms);
  return text.startsWith("-") ? 0 - rounded : rounded;
}

/** `90000` → `1m30s`. Exact. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < 0) return `-${formatDuration(-ms)}`;
  let text = "";
  let rest = ms;
  for (const [unit, size] of MILLISECONDS) {
    const amount = Math.floor(rest / size);
    if (amount > 0) text += `${amount}${unit}`;
    rest -= amount * size;
  }
  return text;
}

/** For people: the two largest units, `3d4h`; below a minute one, with a decimal where it tells something: `1.5s`. */
export function formatAge(ms: number): string {
  if (ms < 0) return `-${formatAge(-ms)}`;
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 10_000) return `${Math.round(ms / 100) / 10}s`;
  let rest = Math.round(ms / 1_000) * 1_000;
  const parts: string[] = [];
  for (const [unit, size] of MILLISECONDS) {
    const amount = Math.floor(rest / size);
    if (amount > 0) parts.push(`${amount}${unit}`);
    else if (parts.length > 0) break;
    rest -= amount * size;
  }
  return parts.slice(0, 2).join("");
}

/** Bytes, or undefined when the text is no size. Without a unit it counts bytes. */
export function parseBytes(text: string): number | undefined {
  const match = SIZE.exec(text);
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * (BYTES.get(match[2] ?? "B") ?? Number.NaN));
}

/** `1048576` → `1MiB`; a number that no unit divides stays as it is. Exact. */
export function formatBytes(bytes: number): string {
  for (const [unit, size] of BYTES) {
    if (bytes !== 0 && bytes % size === 0) return size === 1 ? String(bytes) : `${bytes / size}${unit}`;
  }
  return String(bytes);
}

/** For people: `1.5MiB`. */
export function formatBytesRoughly(bytes: number): string {
  for (const [unit, size] of BYTES) {
    if (bytes >= size) return `${Math.round((bytes / size) * 10) / 10}${unit}`;
  }
  return "0B";
}
