-- Names for what every script of a topic is given: KEYS in the order of
-- keys.ts, and the first three ARGV. `LEASES`, `ENDED`, `SEGMENT` and `SHARD` are
-- prefixes, to which a session, or the number of a window, segment or shard is appended.
local call = redis.call
local TASKS, READY, SEGMENTS, SCHEDULED, DEAD, COMPLETED, CANCELLED, RETENTION, HOLDERS, META, CANCELS, PROGRESS, RESULTS, XIDS, STATS, SETTINGS, WINDOWS, FOLDED, LEASES, ENDED, SEGMENT, SHARD =
  unpack(KEYS)
local now_ms, channel, topic = ARGV[1], ARGV[2], ARGV[3]
