/** BullMQ's connection options for a Redis URL. Null retries is what it asks of a worker's connection. */
export function connectionTo(url: string) {
  const { hostname: host, port } = new URL(url);
  return { host, port: Number(port), maxRetriesPerRequest: null };
}
