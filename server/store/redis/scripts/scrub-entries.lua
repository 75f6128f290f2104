-- scrub-entries: proves of a portion of what points to tasks that the tasks are there.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 repair  5 limit  6 section  7 cursor
--       section: a queue, or retention, meta, cancels, progress, results, xids
-- Reply {"scrubbed", checked, problems, cursor}
-- use: topic
-- use: unfold
-- use: locate
-- use: scrub

unfold()
local section, cursor = ARGV[6], ARGV[7]
local SETS = { retention = RETENTION, xids = XIDS }
local NOTES = { meta = META, cancels = CANCELS, progress = PROGRESS, results = RESULTS }
local key = QUEUES[section] or SETS[section] or NOTES[section]
local is_set = not NOTES[section]
-- Results may be large, and HSCAN brings them along.
local portion = section == "results" and math.min(limit, 20) or limit
local page = call(is_set and "ZSCAN" or "HSCAN", key, cursor, "COUNT", portion)

-- Of the index the id follows the newline, which neither of them holds.
local function id_of(entry)
  if NOTES[section] then return entry end
  if section == "xids" then return string.match(entry, "\n([^\n]*)$") or "" end
  return string.sub(entry, PLACE + 1)
end

-- Nil when all is well.
local function complaint(task, entry)
  if section == "xids" then
    local external_id = task.fields and parse_fields(task.fields)
    return external_id ~= string.sub(entry, 1, -#task.id - 2) and "wrong_index"
  elseif is_set then
    local is_its = task.fields and task.place .. task.id == entry
    if section ~= "retention" then return not is_its and "ghost_entry" end
    return not (is_its and (task.state == "completed" or task.state == "cancelled")) and "wrong_retention"
  end
  local fits = task.fields
  if section == "cancels" or section == "progress" then fits = task.state == "leased" end
  if section == "results" then fits = task.state == "completed" end
  return not fits and "ghost_note"
end

local entries, ids = {}, {}
for i = 1, #page[2], 2 do
  entries[#entries + 1] = page[2][i]
  ids[#ids + 1] = id_of(page[2][i])
end
local needs_state = section == "retention" or (NOTES[section] and section ~= "meta")
local tasks = needs_state and locate(ids, false) or read_tasks(ids, false)
for i, entry in ipairs(entries) do
  local kind = complaint(tasks[i], entry)
  if kind then
    found(kind, ids[i], "in " .. section .. ", without its task", repair)
    if repair then call(is_set and "ZREM" or "HDEL", key, entry) end
  end
end
return { "scrubbed", #entries, problems, page[1] }
