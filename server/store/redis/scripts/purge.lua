-- purge: removes tasks in one state, from the front of its queue.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 state  5 limit
-- Reply {"purged", count, more}
-- use: topic
-- use: unfold
-- use: delete
-- use: head

unfold()
local state, limit = ARGV[4], tonumber(ARGV[5])
local queue, head = QUEUES[state], nil
if state == "ready" then
  head = input_head(limit, true, true)
  forget_lost(head)
else
  head = { entries = call("ZRANGE", queue, 0, limit - 1), all_ready = true }
end
local ids = {}
for i, entry in ipairs(head.entries) do ids[i] = string.sub(entry, PLACE + 1) end
local tasks = read_tasks(ids, false)
for i, task in ipairs(tasks) do
  task.state = state
  -- One that is not of the sorted part is in its segment.
  if ready_among(head, i) == ready_among(head, i - 1) then task.segment = segment_of(head.entries[i]) end
end
delete_tasks(tasks)
local more = call("EXISTS", queue) == 1 or state == "ready" and call("EXISTS", SEGMENTS) == 1
return { "purged", #tasks, more and 1 or 0 }
