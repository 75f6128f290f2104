-- use: locate
-- What a verb of a person answers for one task that it did not move.
local function not_moved(task)
  if not task.state then return { "not_found" } end
  return { "wrong_state", task.state }
end

local function moved(task) return { "done", (parse_fields(task.fields)) } end

-- Takes tasks out of the queues they are in, whichever those are, and in one
-- call per queue.
local function leave_queues(tasks)
  local members, arrived = { [RETENTION] = {} }, {}
  for _, task in ipairs(tasks) do
    local queue, member = QUEUES[task.state], task.place .. task.id
    members[queue] = members[queue] or {}
    table.insert(task.segment and arrived or members[queue], task.segment and task or member)
    if task.state == "completed" or task.state == "cancelled" then table.insert(members[RETENTION], member) end
  end
  for queue, its in pairs(members) do
    if #its > 0 then call("ZREM", queue, unpack(its)) end
  end
  leave_segments(arrived)
end
