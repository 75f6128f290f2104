-- configure: replaces a topic's settings.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 paused  5 settings
--       paused is "1" or "0"; settings is JSON
-- Reply {"configured"}
-- use: topic
-- use: unfold
-- use: wake

unfold()
call("HSET", SETTINGS, "paused", ARGV[4], "settings", ARGV[5])
call("PUBLISH", channel, "settings " .. topic)
if ARGV[4] == "0" and call("EXISTS", READY, SEGMENTS) > 0 then wake_ready() end
return { "configured" }
