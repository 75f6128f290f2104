/** The line that the original's simulator printed, with its words and widths. */
import type { Stats } from "@taskqueue/sdk";

export function statsLine(stats: Stats): string {
  const wide = (value: number) => String(value).padStart(6);
  const narrow = (value: number) => String(value).padStart(4);
  return (
    `Q=${wide(stats.enqueued)} S=${wide(stats.started)} R=${wide(stats.retried)} F=${wide(stats.failed)} ` +
    `C=${wide(stats.completed)} IQ=${narrow(stats.inputQueueSize)} WQ=${narrow(stats.workQueueSize)} DQ=${narrow(stats.deadQueueSize)}`
  );
}
