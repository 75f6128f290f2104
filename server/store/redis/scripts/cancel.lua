-- cancel: scheduled or ready -> cancelled; a leased task is marked, and its broker woken.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 ended_window_ms  5.. ids
-- Reply {"cancelled", outcomes}
--       an outcome is {"done", external id} | {"not_found"} | {"wrong_state", state}
--       | {"cancel_requested", session, token}
-- use: topic
-- use: unfold
-- use: field
-- use: move
-- use: ending

unfold()
local outcomes, tasks, marks, messages, ended = {}, {}, {}, {}, {}
for i, task in ipairs(locate({ unpack(ARGV, 5) }, false)) do
  if task.moves then
    outcomes[i] = task.again
  elseif task.state == "scheduled" or task.state == "ready" then
    task.moves, outcomes[i] = true, moved(task)
    local _, retention_ms = parse_fields(task.fields)
    task.again = retention_ms > 0 and { "wrong_state", "cancelled" } or { "not_found" }
    tasks[#tasks + 1] = task
    put(ended, field_of(task.id), "")
  elseif task.state == "leased" and task.session then
    local token = token_of(task.lease)
    outcomes[i] = { "cancel_requested", task.session, token }
    put(marks, task.id, "1")
    messages[#messages + 1] = table.concat({ "cancel", topic, task.session, token }, " ")
  else
    outcomes[i] = not_moved(task)
  end
end
if #tasks > 0 then
  leave_queues(tasks)
  finish(CANCELLED, tasks)
  count("cancelled", #tasks)
  remember(tonumber(ARGV[4]), ended)
end
if #marks > 0 then call("HSET", CANCELS, unpack(marks)) end
for _, message in ipairs(messages) do call("PUBLISH", channel, message) end
return { "cancelled", outcomes }
