-- resume-session: attaches a session to a broker, and raises its epoch.
--
-- KEYS  1 sessions  2 session_states  3 session_expiry
-- ARGV  1 expires_at_ms  2 id  3 secret  4 broker  5 address
-- Reply {"resumed", session, state} | {"session_lost"}
-- use: session

local expires_at_ms, id, secret, broker, address = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local session, text = call("HGET", KEYS[1], id), call("HGET", KEYS[2], id)
if not session or not text or cjson.decode(session).secret ~= secret then return { "session_lost" } end
local state = parse_state(text)
if state.expiring == "1" then return { "session_lost" } end

state.epoch, state.attached, state.broker, state.address = state.epoch + 1, "1", broker, address
text = format_state(state)
call("HSET", KEYS[2], id, text)
call("ZADD", KEYS[3], expires_at_ms, id)
return { "resumed", session, text }
