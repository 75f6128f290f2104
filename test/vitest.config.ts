/**
 * How tests run: one project per layer, so that each can be run alone
 * (`make test-unit`, or `npx vitest --config test/vitest.config.ts --project unit`).
 *
 * Tests run from source. The condition `taskqueue-source` makes
 * `@taskqueue/sdk` resolve to sdk/index.ts instead of to its build.
 */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const SECOND = 1000;

/** What a layer may assume is in STYLE: unit and tidy need nothing, script and chaos need Redis. */
const LAYERS: Record<string, { include: string[]; timeoutMs?: number; setupFiles?: string[] }> = {
  tidy: { include: ["test/tidy.test.ts"] },
  support: { include: ["test/support/**/*.test.ts"] },
  unit: { include: ["test/unit/**/*.test.ts"], setupFiles: ["test/support/seed.ts"] },
  script: { include: ["test/script/**/*.test.ts"] },
  conformance: { include: ["test/conformance/**/*.test.ts"] },
  differential: { include: ["test/differential/**/*.test.ts"], timeoutMs: 120 * SECOND },
  engine: { include: ["test/engine/**/*.test.ts"] },
  e2e: { include: ["test/e2e/**/*.test.ts"], timeoutMs: 60 * SECOND },
  polyglot: { include: ["test/polyglot/**/*.test.ts"], timeoutMs: 120 * SECOND },
  chaos: { include: ["test/chaos/**/*.test.ts"], timeoutMs: 300 * SECOND },
  docs: { include: ["test/docs/**/*.test.ts"], timeoutMs: 60 * SECOND },
};

const conditions = ["taskqueue-source", "module", "node", "development|production"];

export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: "forks",
    maxWorkers: 2,
    reporters: ["default", fileURLToPath(new URL("support/closing-line.ts", import.meta.url))],
    projects: Object.entries(LAYERS).map(([name, { include, timeoutMs = 30 * SECOND, setupFiles = [] }]) => ({
      extends: true as const,
      test: { name, include, setupFiles, testTimeout: timeoutMs, hookTimeout: timeoutMs },
    })),
  },
});
