/**
 * Microseconds on CLOCK_MONOTONIC, which all processes of a Linux machine
 * share: a time taken by the producer can be compared with one taken by the
 * worker.
 */
const MICROSECONDS_PER_NANOSECOND = 1e-3;

export function nowUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return Math.round(seconds * 1e6 + nanoseconds * MICROSECONDS_PER_NANOSECOND);
}
