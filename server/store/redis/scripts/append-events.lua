-- append-events: adds a batch to the log. Entries are numbered without gaps, so that a
-- reader knows what it missed.
--
-- KEYS  1 events     stream  b -> batch
--       2 event_seq  string  number of the last entry
-- ARGV  1 entries_max  2 batch
-- Reply {"appended"}

local entries_max, batch = ARGV[1], ARGV[2]
local number = redis.call("INCR", KEYS[2])
redis.call("XADD", KEYS[1], "MAXLEN", "~", entries_max, string.format("%d-0", number), "b", batch)
return { "appended" }
