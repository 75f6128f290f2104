-- progress: keeps the latest progress of leased tasks, and tells which leases are lost.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 notes
--       5.. leases: sessions, then per session: id, count, ids and tokens packed
--       notes, packed, in the order of the leases: progress as it is kept, "" to keep what there is
-- Reply {"progress", outcomes}
--       outcomes is a letter per lease: h held, l lost
-- use: topic
-- use: unfold
-- use: holding

unfold()
local ids, _, leases = holding(5)
local notes = { struct.unpack(string.rep(">I4c0", #ids), ARGV[4]) }
local outcomes, kept = {}, {}
for i = 1, #ids do
  outcomes[i] = leases[i] and "h" or "l"
  if leases[i] and notes[i] ~= "" then
    put(kept, ids[i], notes[i])
  end
end
if #kept > 0 then call("HSET", PROGRESS, unpack(kept)) end
return { "progress", table.concat(outcomes) }
