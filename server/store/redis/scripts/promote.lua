-- promote: scheduled -> ready, for tasks that are due.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 limit
-- Reply {"promoted", count, next due moment or ""}
-- use: topic
-- use: unfold
-- use: wake

unfold()
local members = call("ZRANGEBYSCORE", SCHEDULED, "-inf", now_ms, "LIMIT", 0, ARGV[4])
if #members > 0 then
  call("ZREM", SCHEDULED, unpack(members))
  make_ready(members)
end
return { "promoted", #members, next_due_ms() or "" }
