-- use: record
-- use: window
-- A plain task that comes alone, finds nobody waiting and a worker that wants it:
-- what most calls are about while little goes on, or much over thousands of topics.
-- What becomes of it is what the script would do; without lists, and without what
-- else the script defines, that takes half as long. nil, with nothing written, when
-- anything about it is unusual.
local function lone()
  local is_plain = ARGV[9] == "1" and ARGV[10] == "0" and ARGV[5] == "0" and ARGV[6] == "0"
  if ARGV[7] ~= "1" or not is_plain or #ARGV ~= 15 then return nil end
  local counters = call("HMGET", STATS, "enqueued", "started", "bytes", "fence", "segmented", "sharded")
  for i = 1, 6 do counters[i] = tonumber(counters[i] or 0) end
  if counters[5] + counters[6] > 0 then return nil end
  if call("EXISTS", READY, SETTINGS) > 0 and (call("ZCARD", READY) > 0 or call("HGET", SETTINGS, "paused") == "1") then return nil end
  local session, epoch = ARGV[12], tonumber(ARGV[13])
  if tonumber(call("HGET", HOLDERS, session)) ~= epoch then return nil end

  local packed, sequence, leased_at_ms = ARGV[8], counters[1] + 1, tonumber(now_ms)
  local size = string.byte(packed)
  local id, record = string.sub(packed, 2, size + 1), string.sub(packed, size + 6)
  local place, fence = struct.pack(">I4I6", NORMAL, sequence), fence_at(leased_at_ms, counters[4])
  if is_recent(tonumber(ARGV[4]), id) or call("HSETNX", TASKS, id, place .. record) == 0 then return nil end
  call("HSET", LEASES .. session, id, new_lease(fence + 1, place, leased_at_ms, #record, ""))
  call("HSET", STATS, "enqueued", sequence, "started", counters[2] + 1, "bytes", counters[3] + #record, "fence", fence + 1)
  return { "lone", fence + 1 }
end
