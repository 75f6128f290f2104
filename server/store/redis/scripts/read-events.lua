-- read-events: entries after a number, and where the log ends.
--
-- KEYS  1 events  2 event_seq
-- ARGV  1 after  2 limit
--       after "" for the end of the log
-- Reply {"events", number of the last entry, entries as XRANGE gives them}

local last = redis.call("GET", KEYS[2]) or "0"
if ARGV[1] == "" or tonumber(ARGV[1]) >= tonumber(last) then return { "events", last, {} } end
return { "events", last, redis.call("XRANGE", KEYS[1], "(" .. ARGV[1] .. "-0", "+", "COUNT", ARGV[2]) }
