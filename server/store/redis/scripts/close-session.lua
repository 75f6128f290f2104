-- close-session: forgets a session, in two steps between which its holds on its topics end.
-- The first one bars it from being resumed, so that a broker which dies in between leaves
-- a session that expires.
--
-- KEYS  1 sessions  2 session_states  3 session_expiry  4 session_ids
-- ARGV  1 id  2 epoch  3 step
--       step is bar or forget
-- Reply {"barred", session} | {"forgotten"} | {"moved"}
-- use: session

local id, epoch, step = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local text = call("HGET", KEYS[2], id)
local state = text and parse_state(text)
if not state or state.epoch ~= epoch then return { "moved" } end

if step == "bar" then
  state.expiring = "1"
  call("HSET", KEYS[2], id, format_state(state))
  return { "barred", call("HGET", KEYS[1], id) }
end
call("HDEL", KEYS[1], id)
call("HDEL", KEYS[2], id)
call("ZREM", KEYS[3], id)
call("ZREM", KEYS[4], id)
return { "forgotten" }
