-- scrub-counts: proves that a topic's sizes and counters add up, and its bytes when it held still for a walk.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 repair  5 limit  6 enqueued  7 bytes  8 counted_tasks  9 counted_bytes
--       enqueued and bytes as they were when the walk began; counted: what it found
-- Reply {"scrubbed", problems}
-- use: topic
-- use: unfold
-- use: locate
-- use: scrub

unfold()
-- Of more segments the counter is believed: to ask each would take too long.
local SEGMENTS_MAX = 5000
local in_segments, segments = stat("segmented"), call("ZRANGE", SEGMENTS, 0, SEGMENTS_MAX)
if #segments <= SEGMENTS_MAX then
  local held = 0
  for _, number in ipairs(segments) do held = held + call("LLEN", SEGMENT .. number) end
  if held ~= in_segments then
    found("wrong_count", "", string.format("%d tasks in segments, which hold %d", in_segments, held), repair)
    if repair then call("HSET", STATS, "segmented", held) end
    in_segments = held
  end
end
local sharded = 0
for _, shard in ipairs(shards_from(0, SHARDS)) do sharded = sharded + call("HLEN", SHARD .. shard) end
if sharded ~= stat("sharded") then
  found("wrong_count", "", string.format("%d tasks in shards, which hold %d", stat("sharded"), sharded), repair)
  if repair then call("HSET", STATS, "sharded", sharded) end
end
local tasks, entries, leased = call("HLEN", TASKS) + sharded, in_segments, 0
for _, queue in pairs(QUEUES) do entries = entries + call("ZCARD", queue) end
for _, session in ipairs(call("HKEYS", HOLDERS)) do leased = leased + call("HLEN", LEASES .. session) end

if tasks ~= entries + leased then
  found("wrong_count", "", string.format("%d tasks, and %d places in queues and %d leases", tasks, entries, leased), false)
else
  local ended = 0
  for _, name in ipairs({ "completed", "retried", "failed", "released", "expired", "aborted" }) do
    ended = ended + stat(name)
  end
  local open = stat("started") - ended - leased
  if open ~= 0 then
    found("wrong_count", "", string.format("%d attempts started, %d ended and %d run", stat("started"), ended, leased), repair)
    -- Both only rise. An attempt of which no end is known was, as far as anybody can tell, handed back.
    if repair then count(open > 0 and "released" or "started", math.abs(open)) end
  end
end

-- Only an enqueue makes bytes rise, and it counts: with both as they were, no task came or went.
local bytes, counted = stat("bytes"), tonumber(ARGV[9])
local still = stat("enqueued") == tonumber(ARGV[6]) and bytes == tonumber(ARGV[7]) and tasks == tonumber(ARGV[8])
if still and bytes ~= counted then
  found("wrong_bytes", "", string.format("%d, and the tasks have %d", bytes, counted), repair)
  if repair then call("HSET", STATS, "bytes", string.format("%.0f", counted)) end
end
return { "scrubbed", problems }
