-- use: folded
-- use: basics
-- Puts the tasks of a folded topic where all others are: for whatever goes no short
-- way. Called before what a script does itself.
local function unfold()
  local all = call("HGETALL", FOLDED)
  if #all == 0 then return end
  -- Removing comes first: a store without memory refuses a script whose first write adds something.
  call("DEL", FOLDED)
  local records, leases, counters = {}, {}, nil
  for i = 1, #all, 2 do
    local field, value = all[i], all[i + 1]
    if field == STATE then
      counters = { struct.unpack(STATE_FORMAT, value) }
    elseif string.byte(field) ~= 32 then
      local session, lease = session_of(value), string.sub(value, 1, LEASE)
      put(records, field, string.sub(lease, TOKEN + 1, TOKEN + PLACE) .. string.sub(value, LEASE + 2 + #session))
      leases[session] = leases[session] or {}
      put(leases[session], field, filled(lease, (struct.unpack(">I6", lease))))
    end
  end
  call("HSET", STATS, "enqueued", counters[1], "started", counters[2], "completed", counters[3],
    "bytes", counters[4], "fence", counters[5])
  if #records > 0 then call("HSET", TASKS, unpack(records)) end
  for session, its in pairs(leases) do call("HSET", LEASES .. session, unpack(its)) end
end
