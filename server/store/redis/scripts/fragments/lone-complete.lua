-- use: record
-- use: window
-- A plain task that is completed alone, by a worker that wants no other in return:
-- the counterpart of lone-enqueue.
local function lone()
  if ARGV[5] ~= "0" or ARGV[8] ~= "1" or ARGV[10] ~= "1" or #ARGV ~= 11 then return nil end
  local leases, packed = LEASES .. ARGV[9], ARGV[11]
  local size = string.byte(packed)
  local id, token = string.sub(packed, 2, size + 1), string.sub(packed, size + 2)
  local lease = call("HGET", leases, id)
  if not lease or string.sub(lease, 1, TOKEN) ~= token or has_fields(lease) then return nil end
  if call("EXISTS", READY, CANCELS, PROGRESS, META, RESULTS) > 0 then return nil end
  local counters = call("HMGET", STATS, "completed", "bytes", "segmented", "sharded")
  for i = 1, 4 do counters[i] = tonumber(counters[i] or 0) end
  local window = usual_window(tonumber(ARGV[4]), id)
  if counters[3] + counters[4] > 0 or not window then return nil end

  call("HDEL", leases, id)
  call("HDEL", TASKS, id)
  call("HSET", window, id, token)
  call("HSET", STATS, "completed", counters[1] + 1, "bytes", counters[2] - bytes_of(lease))
  return { "lone" }
end
