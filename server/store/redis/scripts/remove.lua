-- remove: tasks for good, in any state but leased.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4.. ids
-- Reply {"removed", outcomes}
--       an outcome is {"done", external id} | {"not_found"} | {"wrong_state", state}
-- use: topic
-- use: unfold
-- use: delete

unfold()
local outcomes, tasks = {}, {}
for i, task in ipairs(locate({ unpack(ARGV, 4) }, false)) do
  if task.state and task.state ~= "leased" and not task.moves then
    task.moves = true
    outcomes[i] = moved(task)
    tasks[#tasks + 1] = task
  else
    outcomes[i] = task.moves and { "not_found" } or not_moved(task)
  end
end
delete_tasks(tasks)
return { "removed", outcomes }
