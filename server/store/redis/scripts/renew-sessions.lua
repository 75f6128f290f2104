-- renew-sessions: moves the expiry of sessions that are the caller's still.
--
-- KEYS  1 session_states  2 session_expiry
-- ARGV  1 expires_at_ms  2.. sessions: id, epoch
-- Reply {"renewed", outcomes}
--       outcomes is a letter per session: r renewed, l lost
-- use: session

local expires_at_ms = ARGV[1]
local ids, outcomes, scored = {}, {}, {}
for i = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local states = call("HMGET", KEYS[1], unpack(ids))
for i, id in ipairs(ids) do
  local state = states[i] and parse_state(states[i])
  if state and state.expiring == "0" and state.epoch == tonumber(ARGV[2 * i + 1]) then
    outcomes[i] = "r"
    scored[#scored + 1] = expires_at_ms
    scored[#scored + 1] = id
  else
    outcomes[i] = "l"
  end
end
if #scored > 0 then call("ZADD", KEYS[2], "XX", unpack(scored)) end
return { "renewed", table.concat(outcomes) }
