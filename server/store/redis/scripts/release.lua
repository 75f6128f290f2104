-- release: leased -> ready, at the old place, uncharged; or -> cancelled where that was asked for.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 ended_window_ms
--       5.. leases: sessions, then per session: id, count, ids and tokens packed
-- Reply {"released", outcomes}
--       outcomes is a letter per lease: r released, a aborted, l lost
-- use: topic
-- use: unfold
-- use: field
-- use: wake
-- use: holding
-- use: ending
-- use: unmark

unfold()
local ids, _, leases, sessions = holding(5)
local cancels = side(CANCELS, ids) or {}
local gone = let_go(ids, leases, sessions)
unmark(gone)
local outcomes, ready, aborted, ended = {}, {}, {}, {}
for i = 1, #ids do
  local id, lease = ids[i], leases[i]
  if not lease then
    outcomes[i] = "l"
  elseif cancels[i] then
    outcomes[i] = "a"
    local task = lease_of(lease)
    task.id = id
    aborted[#aborted + 1] = task
    put(ended, field_of(id), "")
  else
    outcomes[i] = "r"
    ready[#ready + 1] = lease_of(lease).place .. id
  end
end
count("released", #ready)
count("aborted", #aborted)
finish(CANCELLED, aborted)
remember(tonumber(ARGV[4]), ended)
make_ready(ready)
return { "released", table.concat(outcomes) }
