/** Reads tables and drawings out of our documents. */

/** The text under a heading, up to the next one of its own or a higher level. */
export function section(text: string, heading: string): string {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, "") === heading);
  if (start === -1) throw new Error(`there is no heading "${heading}"`);
  const level = /^#+/.exec(lines[start] ?? "")?.[0].length ?? 1;
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => /^#+ /.test(line) && (/^#+/.exec(line)?.[0].length ?? 0) <= level);
  return rest.slice(0, end === -1 ? undefined : end).join("\n");
}

/** The cells of the first table under a heading, without its titles. */
export function rowsUnder(text: string, heading: string): string[][] {
  const lines = section(text, heading).split("\n");
  const start = lines.findIndex((line) => /^\|[ -]*-[-| ]*\|$/.test(line));
  if (start === -1) throw new Error(`there is no table under "${heading}"`);
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => !line.startsWith("|"));
  return rest.slice(0, end === -1 ? undefined : end).map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll("\\|", "|")),
  );
}

/** `code` without its backticks. */
export function unquoted(cell: string): string {
  return cell.replace(/^`(.*)`$/, "$1");
}

/** The moves that the n-th Mermaid drawing shows. */
export function moves(text: string, drawing: number): { from: string; to: string; label: string }[] {
  const block = [...text.matchAll(/```mermaid\n([\s\S]*?)```/g)][drawing]?.[1] ?? "";
  return [...block.matchAll(/^ *(\S+) --> (\S+): (.*)$/gm)].map(([, from = "", to = "", label = ""]) => ({
    from,
    to,
    label,
  }));
}
