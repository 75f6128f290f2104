/**
 * Which sessions are open on a topic, each at its epoch: all that is looked at
 * before something is leased. On disk; and in memory of those that leased lately,
 * as with thousands of topics each lease would be a look at the disk's table.
 */
import type { SessionId } from "../../domain/ids.js";
import type { Place } from "./change.js";
import { nameKey } from "./keys.js";

/** Sessions of one topic: with thousands of topics, each of many workers, all of them would be too much. */
const REMEMBERED_MAX = 16;

/** The epoch at which the session is open on the topic, if it is. */
export function epochOf({ tables, topic }: Place, session: SessionId): number | undefined {
  const known = topic.epochs.get(session);
  if (known !== undefined) return known;
  const epoch = tables.hold.peek(nameKey(topic.number, session))?.readUInt32BE();
  if (epoch === undefined) return undefined;
  if (topic.epochs.size >= REMEMBERED_MAX) topic.epochs.clear();
  topic.epochs.set(session, epoch);
  return epoch;
}

/** The topic must be on disk. */
export function openAt({ tables, topic }: Place, session: SessionId, epoch: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(epoch);
  tables.hold.put(nameKey(topic.number, session), bytes);
  topic.epochs.delete(session);
}

/** From now on the session leases nothing on the topic. */
export function endHold({ tables, topic }: Place, session: SessionId): void {
  if (topic.number === 0) return;
  tables.hold.remove(nameKey(topic.number, session));
  topic.epochs.delete(session);
}
