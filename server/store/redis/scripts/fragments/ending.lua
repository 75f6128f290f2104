-- use: basics
-- use: record
-- use: removal
-- Completed or cancelled tasks that have left their queue: those with a
-- retention are kept in `queue`, the others are forgotten. Each task is
-- {id, place, fields, bytes}.
local function finish(queue, tasks)
  local kept, expiries, gone, xids, bytes = {}, {}, {}, {}, 0
  for _, task in ipairs(tasks) do
    local external_id, retention_ms = parse_fields(task.fields)
    if retention_ms > 0 then
      local member = task.place .. task.id
      put(kept, now_ms, member)
      put(expiries, now_ms + retention_ms, member)
      task.kept = true
    else
      gone[#gone + 1] = task.id
      bytes = bytes + task.bytes
      if external_id ~= "" then xids[#xids + 1] = external_id .. "\n" .. task.id end
    end
  end
  forget(gone, bytes, xids)
  if #kept > 0 then
    call("ZADD", queue, unpack(kept))
    call("ZADD", RETENTION, unpack(expiries))
  end
end
