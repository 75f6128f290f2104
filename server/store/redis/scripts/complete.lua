-- complete: leased -> completed, for each lease that is still held; then serves demands.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 ended_window_ms  5 results_count  6 results
--       7 first_demand  8.. leases: sessions, then per session: id, count, ids and tokens packed
--       first_demand.. demands: session, epoch, limit, bytes_max
--       results, packed: index among the leases, bytes
-- Reply {"completed", outcomes, lease...}
--       outcomes is a letter per lease: c completed, l lost
-- use: topic
-- use: field
-- use: holding
-- use: ending
-- use: lease
-- use: unfold

unfold()
local window_ms, first_demand = tonumber(ARGV[4]), tonumber(ARGV[7])
local ids, tokens, leases, sessions = holding(8)
local outcomes, lost = {}, {}
local gone, bytes, others, ended = {}, 0, {}, {}
for i = 1, #ids do
  local id, lease = ids[i], leases[i]
  if lease then
    local n = #ended
    outcomes[i] = "c"
    ended[n + 1], ended[n + 2] = field_of(id), tokens[i]
    if not has_fields(lease) then
      gone[#gone + 1] = id
      bytes = bytes + bytes_of(lease)
    else
      local task = lease_of(lease)
      task.id, task.index = id, i
      others[#others + 1] = task
    end
  else
    lost[#lost + 1] = id
  end
end

let_go(ids, leases, sessions)
forget(gone, 0, {})
finish(COMPLETED, others)
if #others > 0 and ARGV[5] ~= "0" then
  local results, by_index, kept = { struct.unpack(string.rep(">I2I4c0", tonumber(ARGV[5])), ARGV[6]) }, {}, {}
  for i = 1, #results - 1, 2 do by_index[results[i]] = results[i + 1] end
  for _, task in ipairs(others) do
    if task.kept and by_index[task.index] then
      put(kept, task.id, by_index[task.index])
    end
  end
  if #kept > 0 then call("HSET", RESULTS, unpack(kept)) end
end
-- A report that comes again is answered as the first time.
if #lost > 0 then
  local before, k = recent(window_ms, fields_of_ids(lost)) or {}, 0
  for i = 1, #ids do
    if not leases[i] then
      k = k + 1
      outcomes[i] = before[k] == tokens[i] and "c" or "l"
    end
  end
end
remember(window_ms, ended)

local demands, lost_sessions, wanted = open_demands(first_demand)
local counters = read_counters()
counters.completed, counters.bytes = counters.completed + #gone + #others, counters.bytes - bytes
local served = serve(demands, wanted, counters)
write_counters(counters)
return reply_with({ "completed", table.concat(outcomes) }, served, lost_sessions, counters)
