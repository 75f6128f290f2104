#!/usr/bin/env node
// Placeholder until the composition root arrives.
process.stdout.write("taskqueue\n");
