-- describe: a topic's counters and sizes, all of one moment, and its settings.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic
-- Reply {"topic", counters, sizes, line, next due moment, settings}
--       counters as HGETALL gives them; sizes of tasks, scheduled, ready, dead, completed, cancelled;
--       line is the first one of the record at the head of the input queue
-- use: topic
-- use: record
-- use: head
-- use: records
-- use: folded

local sizes = { call("HLEN", TASKS) + (call("HGET", STATS, "sharded") or 0) }
for i, queue in ipairs({ SCHEDULED, READY, DEAD, COMPLETED, CANCELLED }) do sizes[i + 1] = call("ZCARD", queue) end
sizes[3] = sizes[3] + (call("HGET", STATS, "segmented") or 0)
local head, line = input_head(1, true, true).entries[1], ""
if head then
  local value = read_records({ string.sub(head, PLACE + 1) })[1]
  line = value and string.match(value, "^[^\n]*\n", PLACE + 1) or ""
end
local counters, state = call("HGETALL", STATS), call("HGET", FOLDED, topic)
if state then
  local enqueued, completed, bytes, in_hand = struct.unpack(STATE, state)
  local before = call("HMGET", STATS, "enqueued", "started")
  local started = (before[2] or 0) + enqueued - (before[1] or 0)
  sizes[1] = sizes[1] + in_hand
  for name, value in pairs({ enqueued = enqueued, started = started, completed = completed, bytes = bytes }) do
    counters[#counters + 1], counters[#counters + 2] = name, value
  end
end
local next_due = call("ZRANGE", SCHEDULED, 0, 0, "WITHSCORES")[2] or ""
return { "topic", counters, sizes, line, next_due, call("HGET", SETTINGS, "settings") or "" }
