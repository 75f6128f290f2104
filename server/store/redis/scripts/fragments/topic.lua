-- Names for what every script of a topic is given: KEYS in the order of
-- keys.ts, its own and then those of its scope, and the first three ARGV. `LEASES`, `SEGMENT`, `SHARD` and `ENDED` are
-- prefixes, to which a session, or the number of a segment, shard or window is appended.
local call = redis.call
local TASKS, READY, SEGMENTS, SCHEDULED, DEAD, COMPLETED, CANCELLED, RETENTION, HOLDERS, META, CANCELS, PROGRESS, RESULTS, XIDS, STATS, SETTINGS, LEASES, SEGMENT, SHARD, STRAIGHT, FOLDED, TAKERS, WINDOWS, ENDED =
  unpack(KEYS)
local now_ms, channel, topic = ARGV[1], ARGV[2], ARGV[3]
