-- use: basics
-- All there is to know of tasks that `locate` found, as codec.ts reads it:
-- {id, value, state, score, session, lease, meta, cancel, progress, result} each, {} for none.
local function rows_of(tasks)
  local ids, rows = {}, {}
  for i, task in ipairs(tasks) do ids[i] = task.id end
  local metas, cancels = side(META, ids) or {}, side(CANCELS, ids) or {}
  local progress, results = side(PROGRESS, ids) or {}, side(RESULTS, ids) or {}
  for i, task in ipairs(tasks) do
    rows[i] = task.state and {
      task.id, task.value, task.state, task.score or false, task.session or false, task.lease or false,
      metas[i] or false, cancels[i] or false, progress[i] or false, results[i] or false,
    } or {}
  end
  return rows
end
