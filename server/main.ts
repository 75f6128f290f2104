#!/usr/bin/env node
/** The composition root of the program: the command line, and a way for it to start a broker. */
import { processContext } from "./cli/context.js";
import { run } from "./cli/program.js";
import { environment } from "./config.js";
import { VERSION } from "./version.js";

const context = processContext({
  version: VERSION,
  environment,
  // Imported when it is needed, so that the other commands start quickly.
  startBroker: async (config) => (await import("./serve.js")).startBroker(config),
});

// All output has been written when a command ends; whatever a peer still holds open must not keep the process.
process.exit(await run(process.argv.slice(2), context));
