-- enqueue: -> ready or scheduled, for each task that is new; then serves demands.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 ended_window_ms  5 tasks_max  6 bytes_max
--       7 count  8 tasks  9 all_plain  10 extras_count  11 extras  12.. demands: session, epoch, limit, bytes_max
--       tasks, packed: id, record. all_plain tells (by a digit) that no record's first line has fields.
--       extras, packed: index, priority, due_ms (0: ready), external_id,
--       for those tasks that have one of them. No id comes twice.
-- Reply {"enqueued", created, fresh, lease...} | {"full", tasks, bytes}
--       created is a digit per task, or "" when all are new; fresh tells that the
--       tasks handed out are the first of this call, whose records are not repeated
-- use: topic
-- use: field
-- use: arrive
-- use: lease
-- use: unfold

unfold()
local window_ms, tasks_max, bytes_max, n = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local packed = { struct.unpack(string.rep("Bc0>I4c0", n), ARGV[8]) }
local ids, priorities, dues, external_ids = {}, {}, {}, {}
local extras = ARGV[10] == "0" and {} or { struct.unpack(string.rep(">I2I4I6I2c0", tonumber(ARGV[10])), ARGV[11]) }
for i = 1, #extras - 1, 4 do
  local task = extras[i]
  priorities[task] = extras[i + 1]
  if extras[i + 2] > 0 then dues[task] = extras[i + 2] end
  if extras[i + 3] ~= "" then external_ids[task] = extras[i + 3] end
end
for i = 1, n do ids[i] = packed[2 * i - 1] end
local counters = read_counters()
local known, ended = known_among(ids, counters.sharded > 0), recent(window_ms, fields_of_ids(ids)) or {}
local new, created, bytes = {}, {}, 0
for i = 1, n do
  local is_new = not (known[i] or ended[i])
  created[i] = is_new and "1" or "0"
  if is_new then
    new[#new + 1] = i
    bytes = bytes + #packed[2 * i]
  end
end
created = #new < n and table.concat(created) or ""

local was_empty = waiting(counters) == 0
-- Of plain tasks that find nobody waiting few are held: that needs no look.
local must_look = tasks_max + bytes_max + counters.sharded + #extras > 0 or not was_empty or ARGV[9] ~= "1"
local unsharded, held_bytes = must_look and call("HLEN", TASKS) or 0, counters.bytes
local held = unsharded + counters.sharded
if #new > 0 and (tasks_max > 0 and held + #new > tasks_max or bytes_max > 0 and held_bytes + bytes > bytes_max) then
  return { "full", held, held_bytes }
end

local demands, lost, wanted = open_demands(12)
local fresh, due, records, xids = { ids = {}, places = {}, values = {}, all_plain = ARGV[9] == "1" }, {}, {}, {}
local sequence, pack, m = counters.enqueued, struct.pack, 0
for k, i in ipairs(new) do
  local id, place = ids[i], pack(">I4I6", priorities[i] or NORMAL, sequence + k)
  local value = place .. packed[2 * i]
  records[2 * k - 1], records[2 * k] = id, value
  if dues[i] then
    put(due, dues[i], place .. id)
  else
    m = m + 1
    fresh.ids[m], fresh.places[m], fresh.values[m] = id, place, value
  end
  if external_ids[i] then put(xids, "0", external_ids[i] .. "\n" .. id) end
end
counters.enqueued, counters.bytes = sequence + #new, counters.bytes + bytes
if #new > 0 then counters.sharded = counters.sharded + write_records(records, unsharded, counters.sharded) end
if #xids > 0 then call("ZADD", XIDS, unpack(xids)) end
-- What nobody overtakes goes straight to a worker, without passing the queue.
local straight = wanted > 0 and #extras == 0 and m > 0 and was_empty
local served = straight and serve(demands, wanted, counters, fresh) or NOTHING
local queued = {}
for i = served.taken + 1, m do queued[i - served.taken] = fresh.places[i] .. fresh.ids[i] end
queue_up(queued, #extras == 0, counters)
if not straight then served = serve(demands, wanted, counters) end
if was_empty and waiting(counters) > 0 then wake_ready() end
schedule(due)
write_counters(counters)
return reply_with({ "enqueued", created, straight and 1 or 0 }, served, lost, counters)
