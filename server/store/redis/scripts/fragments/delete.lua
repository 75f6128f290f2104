-- use: move
-- use: removal
-- use: field
-- Removes tasks for good, and what is remembered of their ids: those may be
-- enqueued again at once.
local function delete_tasks(tasks)
  if #tasks == 0 then return end
  local ids, xids, bytes = {}, {}, 0
  for i, task in ipairs(tasks) do
    ids[i] = task.id
    bytes = bytes + task.bytes
    local external_id = parse_fields(task.fields)
    if external_id ~= "" then xids[#xids + 1] = external_id .. "\n" .. task.id end
  end
  leave_queues(tasks)
  forget(ids, bytes, xids)
  forget_ended(fields_of_ids(ids))
  count("deleted", #tasks)
end
