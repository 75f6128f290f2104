-- expired-sessions: names sessions that are over, and bars them from being resumed or renewed.
--
-- KEYS  1 sessions  2 session_states  3 session_expiry
-- ARGV  1 now_ms  2 limit
-- Reply {"expired", rows, moment the next of the others expires or ""}
--       a row is {session, state, expires_at_ms}
-- use: session

local now_ms, limit = ARGV[1], tonumber(ARGV[2])
local scored = call("ZRANGEBYSCORE", KEYS[3], "-inf", now_ms, "WITHSCORES", "LIMIT", 0, limit)
local rows = {}
for i = 1, #scored, 2 do
  local id = scored[i]
  local session, kept = call("HGET", KEYS[1], id), call("HGET", KEYS[2], id)
  if session and kept then
    local state = parse_state(kept)
    if state.expiring == "0" then
      state.expiring = "1"
      call("HSET", KEYS[2], id, format_state(state))
    end
    rows[#rows + 1] = { session, format_state(state), scored[i + 1] }
  else
    -- Somebody else's doing; it must not stop the sessions after it from expiring.
    call("ZREM", KEYS[3], id)
  end
end

-- Others that are over already may stand before the next one, when this call asks for fewer than one before.
local function next_live(rank)
  while true do
    local others = call("ZRANGE", KEYS[3], rank, rank + 99, "WITHSCORES")
    for i = 1, #others, 2 do
      local kept = call("HGET", KEYS[2], others[i])
      if kept and parse_state(kept).expiring == "0" then return others[i + 1] end
    end
    if #others < 200 then return "" end
    rank = rank + 100
  end
end
return { "expired", rows, next_live(#rows) }
