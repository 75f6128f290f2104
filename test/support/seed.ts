/** Property tests draw the same cases at every run; TASKQUEUE_SEED draws others. */
import fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env.TASKQUEUE_SEED ?? 20_160_422) });
