-- use: folded
-- use: records
-- The topic that was entered, folded: its state, and its fence. Nil if something in it waits or is leased, or if it
-- is paused.
local function fold()
  -- What follows would tell as well, by more commands.
  if call("EXISTS", READY, SEGMENTS) > 0 then return nil end
  local counters = call("HMGET", STATS, "enqueued", "completed", "bytes", "fence", "sharded")
  for i = 1, 5 do counters[i] = tonumber(counters[i] or 0) end
  local others, at_rest = call("HLEN", TASKS) + counters[5], 0
  if others > 0 then
    for _, queue in ipairs({ SCHEDULED, DEAD, COMPLETED, CANCELLED }) do at_rest = at_rest + call("ZCARD", queue) end
  end
  if others > at_rest or call("HGET", SETTINGS, "paused") == "1" then return nil end
  return struct.pack(STATE, counters[1], counters[2], counters[3], 0, others > 0 and 1 or 0), counters[4]
end
