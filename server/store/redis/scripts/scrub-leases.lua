-- scrub-leases: proves of a portion of a session's leases that each has its task, which is in no other state.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 repair  5 limit  6 session  7 cursor
-- Reply {"scrubbed", checked, problems, cursor}
-- use: topic
-- use: unfold
-- use: locate
-- use: scrub

unfold()
local leases_key = LEASES .. ARGV[6]
local page = call("HSCAN", leases_key, ARGV[7], "COUNT", limit)
local ids, leases = {}, {}
for i = 1, #page[2], 2 do
  ids[#ids + 1] = page[2][i]
  leases[#leases + 1] = page[2][i + 1]
end
for i, task in ipairs((read_tasks(ids, false))) do
  local member = lease_of(leases[i]).place .. task.id
  if not task.fields or task.place .. task.id ~= member then
    found("ghost_lease", task.id, "of session " .. ARGV[6] .. ", without its task", repair)
    if repair then call("HDEL", leases_key, task.id) end
  else
    for state, queue in pairs(QUEUES) do
      if call("ZSCORE", queue, member) then
        found("two_states", task.id, "leased and " .. state, repair)
        if repair then call("ZREM", queue, member) end
      end
    end
    find_arrived({ task })
    if task.segment then
      found("two_states", task.id, "leased and ready", repair)
      if repair then leave_segments({ task }) end
    end
  end
end
return { "scrubbed", #ids, problems, page[1] }
