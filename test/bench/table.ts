/** Prints rows in aligned columns: text to the left, numbers to the right. */

export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const numeric = header.map((_, column) => rows.every((row) => /^([-–—]|[-+]?\d.*)?$/.test(row[column] ?? "")));
  const print = (line: readonly string[]) =>
    line
      .map((cell, column) => (numeric[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [print(header), rule, ...rows.map(print)].join("\n");
}

/** `61,234`, `0.54`, or a dash for a figure that was not taken. */
export function formatNumber(value: number | undefined, digits = 0): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
