-- extend-sessions: moves the expiry of live sessions that expire earlier to a moment.
--
-- KEYS  1 session_states  2 session_expiry
-- ARGV  1 until_ms  2 skip  3 limit
--       skip counts the sessions at the front that are not live, as the call before told
-- Reply {"extended", count, skip, more}
-- use: session

local until_ms, skip, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = call("ZRANGEBYSCORE", KEYS[2], "-inf", "(" .. until_ms, "LIMIT", skip, limit)
local states = #ids > 0 and call("HMGET", KEYS[1], unpack(ids)) or {}
local scored = {}
for i, id in ipairs(ids) do
  if states[i] and parse_state(states[i]).expiring == "0" then
    scored[#scored + 1] = until_ms
    scored[#scored + 1] = id
  end
end
if #scored > 0 then call("ZADD", KEYS[2], unpack(scored)) end
local extended = #scored / 2
return { "extended", extended, skip + #ids - extended, #ids == limit and 1 or 0 }
