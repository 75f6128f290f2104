-- requeue: dead or cancelled -> ready, at the old place, with failures and lost leases 0 again; the error stays.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 oldest_dead  5.. ids
--       oldest_dead: instead of ids, that many from the front of the dead queue; or 0
-- Reply {"requeued", more, ids, outcomes}
--       an outcome is {"done", external id} | {"not_found"} | {"wrong_state", state}
-- use: topic
-- use: unfold
-- use: wake
-- use: move
-- use: meta
-- use: field

unfold()
local ids = { unpack(ARGV, 5) }
if ARGV[4] ~= "0" then
  ids = call("ZRANGE", DEAD, 0, ARGV[4] - 1)
  for i, member in ipairs(ids) do ids[i] = string.sub(member, PLACE + 1) end
end
local outcomes, tasks, moving, members = {}, {}, {}, {}
for i, task in ipairs(locate(ids, false)) do
  if (task.state == "dead" or task.state == "cancelled") and not task.moves then
    task.moves = true
    outcomes[i] = moved(task)
    tasks[#tasks + 1], moving[#moving + 1], members[#members + 1] = task, task.id, task.place .. task.id
  else
    outcomes[i] = task.moves and { "wrong_state", "ready" } or not_moved(task)
  end
end
if #tasks > 0 then
  leave_queues(tasks)
  local metas, changed = side(META, moving) or {}, {}
  for i, id in ipairs(moving) do
    if metas[i] then
      put(changed, id, format_meta({ failures = 0, lost = 0, mark = "", reason = "", error = parse_meta(metas[i]).error }))
    end
  end
  if #changed > 0 then call("HSET", META, unpack(changed)) end
  forget_ended(fields_of_ids(moving))
  make_ready(members)
  count("requeued", #tasks)
end
local more = ARGV[4] ~= "0" and call("ZCARD", DEAD) > 0
return { "requeued", more and 1 or 0, ids, outcomes }
