-- use: basics
-- use: record
-- use: records
-- use: segments
-- Finds tasks by id. Gives one table per id, the same one for an id that comes
-- twice, with: id, state (nil: no such task), place, fields, bytes, and by state
-- score, or segment, or session and lease. Reads records in small portions and keeps them,
-- as value, only if asked to.
local QUEUES = { ready = READY, scheduled = SCHEDULED, dead = DEAD, completed = COMPLETED, cancelled = CANCELLED }
local PORTION = 16

local function read_tasks(ids, with_values)
  local tasks, distinct, by_id = {}, {}, {}
  for i, id in ipairs(ids) do
    if not by_id[id] then
      by_id[id] = { id = id }
      distinct[#distinct + 1] = id
    end
    tasks[i] = by_id[id]
  end
  local found = {}
  for first = 1, #distinct, PORTION do
    local last = math.min(first + PORTION - 1, #distinct)
    local values = read_records(distinct, first, last)
    for i = first, last do
      local task, value = by_id[distinct[i]], values[i - first + 1]
      if value then
        task.place, task.fields, task.bytes = string.sub(value, 1, PLACE), fields_of(value), #value - PLACE
        if with_values then task.value = value end
        found[#found + 1] = task
      end
    end
  end
  return tasks, found
end

-- Leased tasks are found by asking each session that serves the topic: the
-- alternative, an index, would be written twice for every task that runs.
local function find_holders(tasks)
  local holders = call("HKEYS", HOLDERS)
  table.sort(holders)
  for _, session in ipairs(holders) do
    if #tasks == 0 then return end
    local ids, missing = {}, {}
    for i, task in ipairs(tasks) do ids[i] = task.id end
    local leases = call("HMGET", LEASES .. session, unpack(ids))
    for i, task in ipairs(tasks) do
      if leases[i] then
        task.session, task.lease = session, leases[i]
      else
        missing[#missing + 1] = task
      end
    end
    tasks = missing
  end
end

local function locate(ids, with_values)
  local tasks, left = read_tasks(ids, with_values)
  for state, queue in pairs(QUEUES) do
    if #left == 0 then break end
    local members, missing = {}, {}
    for i, task in ipairs(left) do members[i] = task.place .. task.id end
    local scores = call("ZMSCORE", queue, unpack(members))
    for i, task in ipairs(left) do
      if scores[i] then
        task.state, task.score = state, scores[i]
      else
        missing[#missing + 1] = task
      end
    end
    left = missing
  end
  find_arrived(left)
  local leased = {}
  for _, task in ipairs(left) do
    task.state = task.segment and "ready" or "leased"
    if not task.segment then leased[#leased + 1] = task end
  end
  find_holders(leased)
  return tasks
end
