-- announce-watch: says until when somebody watches, and wakes brokers that did not know.
--
-- KEYS  1 watch
-- ARGV  1 until_ms  2 channel
-- Reply {"announced"}

local until_ms, channel = ARGV[1], ARGV[2]
local before = tonumber(redis.call("GET", KEYS[1]) or 0)
if before < tonumber(until_ms) then redis.call("SET", KEYS[1], until_ms, "PXAT", until_ms) end
if before == 0 and redis.call("EXISTS", KEYS[1]) == 1 then redis.call("PUBLISH", channel, "watch") end
return { "announced" }
