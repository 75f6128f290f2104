-- purge: removes tasks in one state, from the front of its queue.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 state  5 limit
-- Reply {"purged", count, more}
-- use: topic
-- use: delete

local queue = QUEUES[ARGV[4]]
local ids = call("ZRANGE", queue, 0, ARGV[5] - 1)
for i, member in ipairs(ids) do ids[i] = string.sub(member, PLACE + 1) end
local tasks = read_tasks(ids, false)
for _, task in ipairs(tasks) do task.state = ARGV[4] end
delete_tasks(tasks)
return { "purged", #tasks, call("EXISTS", queue) }
