-- lease: ready -> leased, in order of place, to each demand in turn.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4.. demands: session, epoch, limit, bytes_max
-- Reply {"leased", lease...}
--       lease... is in fragments/lease.lua
-- use: topic
-- use: unfold
-- use: lease

unfold()
local demands, lost, wanted = open_demands(4)
local counters = read_counters()
local served = serve(demands, wanted, counters)
write_counters(counters)
return reply_with({ "leased" }, served, lost, counters)
