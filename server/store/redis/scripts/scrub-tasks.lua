-- scrub-tasks: proves of a portion of the tasks that each is in one state, and what must be known of it is.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 repair  5 limit  6 cursor
--       cursor as page_of_records has it
-- Reply {"scrubbed", checked, problems, cursor, bytes, strays}
--       bytes are those of the records looked at; strays are ids of tasks in no state, for scrub-strays
-- use: topic
-- use: unfold
-- use: locate
-- use: scrub
-- use: scrub-straight

unfold()
if ARGV[6] == "0" then check_straight() end
local flat, next_cursor = page_of_records(ARGV[6])
local tasks, members, bytes = {}, {}, 0
for i = 1, #flat, 2 do
  local id, value = flat[i], flat[i + 1]
  local member = string.sub(value, 1, PLACE) .. id
  tasks[#tasks + 1] = { id = id, place = string.sub(value, 1, PLACE), member = member, fields = fields_of(value) }
  members[#members + 1] = member
  bytes = bytes + #value - PLACE
end

-- A task in two of them stays in the one in which it is least lost: the first.
local function leave(task, state)
  found("two_states", task.id, task.state .. " and " .. state, repair)
  if repair then call("ZREM", QUEUES[state], task.member) end
end

-- Those in segments are ready, if their segment can be found.
local function check_segments()
  find_arrived(tasks)
  for _, task in ipairs(tasks) do
    if task.segment and task.state then
      found("two_states", task.id, task.state .. ", and ready in a segment", repair)
      if repair then leave_segments({ task }) end
    elseif task.segment then
      task.state = "ready"
      check_named(task.segment)
    end
  end
end

local function check_retention(task, retention_ms)
  if call("ZSCORE", RETENTION, task.member) then return end
  found("wrong_retention", task.id, task.state .. ", and would never be forgotten", repair)
  if repair then call("ZADD", RETENTION, string.format("%.0f", task.score + retention_ms), task.member) end
end

local function check_index(task, external_id)
  local member = external_id .. "\n" .. task.id
  if external_id == "" or call("ZSCORE", XIDS, member) then return end
  found("wrong_index", task.id, "not found by its external id", repair)
  if repair then call("ZADD", XIDS, 0, member) end
end

local left, strays = {}, {}
if #tasks > 0 then
  for _, state in ipairs({ "ready", "scheduled", "dead", "cancelled", "completed" }) do
    local scores = call("ZMSCORE", QUEUES[state], unpack(members))
    for i, task in ipairs(tasks) do
      if scores[i] and task.state then leave(task, state)
      elseif scores[i] then task.state, task.score = state, tonumber(scores[i]) end
    end
    if state == "ready" then check_segments() end
  end
end
for _, task in ipairs(tasks) do
  local external_id, retention_ms = parse_fields(task.fields)
  check_index(task, external_id)
  if task.state == "completed" or task.state == "cancelled" then check_retention(task, retention_ms) end
  if not task.state then left[#left + 1] = task end
end
find_holders(left)
for _, task in ipairs(left) do
  if not task.session then strays[#strays + 1] = task.id end
end
return { "scrubbed", #tasks, problems, next_cursor, bytes, strays }
