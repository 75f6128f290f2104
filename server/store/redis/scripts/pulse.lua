-- pulse: proves that the store serves writes, and tells its clock.
--
-- KEYS  1 pulse  never exists  2 watch  string  until when somebody watches, ms
-- ARGV  none
-- Reply {"pulse", seconds, microseconds, watched until or ""}

-- A write that changes nothing, and that a store without memory allows.
redis.call("DEL", KEYS[1])
local time = redis.call("TIME")
return { "pulse", time[1], time[2], redis.call("GET", KEYS[2]) or "" }
