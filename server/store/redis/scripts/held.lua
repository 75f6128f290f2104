-- held: the leases of a session, as many as are asked for, from an offset.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 session  5 ids, joined by spaces; "" to be told all ids
-- Reply {"ids", ids} | {"held", ids, leases, values, metas}
-- use: topic
-- use: unfold
-- use: basics
-- use: records

unfold()
local leases_key = LEASES .. ARGV[4]
if ARGV[5] == "" then return { "ids", call("HKEYS", leases_key) } end
local ids = {}
for id in string.gmatch(ARGV[5], "%S+") do ids[#ids + 1] = id end
return { "held", ids, call("HMGET", leases_key, unpack(ids)), read_records(ids), side(META, ids) or {} }
