/**
 * Prints the last line of a test run, `N passed, N failed, N skipped`, and
 * makes a run fail that ran nothing.
 *
 * A file that cannot be loaded and an error outside any test count as a
 * failure each, so that "0 failed" is never printed above a red run.
 */
import type { Reporter, TestModule } from "vitest/node";

export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      let failedTests = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "pending") count.skipped += 1;
        else count[state] += 1;
        if (state === "failed") failedTests += 1;
      }
      if (module.state() === "failed" && failedTests === 0) count.failed += 1;
    }
    const line = `${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`;
    // The other reporters still print after this hook; the exit handler is the last to speak.
    process.once("exit", () => {
      if (count.failed > 0 || count.passed === 0) process.exitCode = 1;
      process.stdout.write(line);
    });
  }
}
