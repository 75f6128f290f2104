-- use: basics
-- use: record
-- use: head
-- use: share
-- Serves demands (session, epoch, limit, bytes in turn, in ARGV from `first` on).
-- `fresh` holds tasks that are next in order without being in the input queue,
-- which is empty then: {ids, places, values, all_plain}. Every other task comes
-- off the queue.
-- Every call of Redis takes some microseconds, which is most of what a script
-- costs that is about one task: hence one look for all counters, and one write.

local paused = nil
local function is_paused()
  if paused == nil then paused = call("HGET", SETTINGS, "paused") == "1" end
  return paused
end

local COUNTERS = { "enqueued", "started", "completed", "bytes", "fence", "segmented", "sharded" }

-- The counters that these scripts move, as numbers; and how many tasks are in
-- `ready`, as it were one of them.
local function read_counters()
  local values = call("HMGET", STATS, unpack(COUNTERS))
  local counters = { before = values, sorted = call("ZCARD", READY) }
  for i, name in ipairs(COUNTERS) do
    values[i] = tonumber(values[i] or 0)
    counters[name] = values[i]
  end
  return counters
end

local function waiting(counters) return counters.sorted + counters.segmented end

local function write_counters(counters)
  local changed = {}
  for i, name in ipairs(COUNTERS) do
    if counters[name] ~= counters.before[i] then put(changed, name, counters[name]) end
  end
  if #changed > 0 then call("HSET", STATS, unpack(changed)) end
end

-- The demands of sessions that are open on the topic at that epoch, the numbers
-- of the others, and how many tasks are wanted in all.
local function open_demands(first)
  local demands, lost, wanted = {}, {}, 0
  for at = first, #ARGV, 4 do
    if tonumber(call("HGET", HOLDERS, ARGV[at])) == tonumber(ARGV[at + 1]) then
      local limit = tonumber(ARGV[at + 2])
      demands[#demands + 1] = { session = ARGV[at], limit = limit, bytes_max = tonumber(ARGV[at + 3]) }
      wanted = wanted + limit
    else
      lost[#lost + 1] = (at - first) / 4
    end
  end
  return demands, lost, wanted
end

local NOTHING = { taken = 0, shares = {}, fence = 0, ids = "", values = {}, metas = {} }

-- The entries of a head in the form of `fresh`; their values are read by `share`.
local function tasks_of(entries)
  local ids = {}
  for i = 1, #entries do ids[i] = string.sub(entries[i], PLACE + 1) end
  -- Entries begin with their place, and only that is taken of them.
  return { ids = ids, places = entries, values = {} }
end

-- Writes down the leases of tasks `from` to `to` for a session.
local function hold(session, tasks, from, to, fence, leased_at_ms)
  local ids, places, values, all_plain = tasks.ids, tasks.places, tasks.values, tasks.all_plain
  local leases, n = {}, 0
  for i = from, to do
    local fields = all_plain and "" or fields_of(values[i])
    leases[n + 1] = ids[i]
    leases[n + 2] = new_lease(fence + i, places[i], leased_at_ms, #values[i] - PLACE, fields)
    n = n + 2
  end
  if n > 0 then call("HSET", LEASES .. session, unpack(leases)) end
end

-- Moves `counters`, which the caller writes.
local function serve(demands, wanted, counters, fresh)
  if wanted == 0 or not fresh and waiting(counters) == 0 or is_paused() then return NOTHING end
  local head = not fresh and input_head(wanted, counters.sorted > 0, counters.segmented > 0)
  if head then
    forget_lost(head)
    -- Tasks that were lost with their segment are not waited for.
    if not head.all_ready and #head.parts == 0 and not head.more then counters.segmented = 0 end
  end
  local tasks = fresh or tasks_of(head.entries)
  local ids, values = tasks.ids, tasks.values
  local taken, shares = share(demands, #ids, fresh and sizes_of(values) or reader(ids, values))
  if taken == 0 then return NOTHING end
  -- The first write must be one that a store without memory allows.
  if head then
    take_head(head, taken)
    local of_ready = ready_among(head, taken)
    counters.sorted, counters.segmented = counters.sorted - of_ready, counters.segmented - (taken - of_ready)
  end
  local at, leased_at_ms = 0, tonumber(now_ms)
  local fence = fence_at(leased_at_ms, counters.fence)
  counters.fence, counters.started = fence + taken, counters.started + taken
  for d, demand in ipairs(demands) do
    hold(demand.session, tasks, at + 1, at + shares[d], fence, leased_at_ms)
    at = at + shares[d]
  end
  -- A fresh task's record is known to the caller, and nothing else is known of it.
  if fresh then return { taken = taken, shares = shares, fence = fence, ids = "", values = {}, metas = {} } end
  for i = #ids, taken + 1, -1 do ids[i], values[i] = nil, nil end
  local metas = side(META, ids) or {}
  return { taken = taken, shares = shares, fence = fence, ids = table.concat(ids, " "), values = values, metas = metas }
end

-- What every verb that hands out tasks replies with at the end: how many tasks
-- are left ready, the fence before the first token, the numbers of the lost
-- demands from 0, tasks per open demand, ids, all joined by spaces; then the
-- tasks' values, then their metas if any task has one. A list in the list would
-- be neater, and costs Redis a microsecond.
local function reply_with(reply, served, lost, counters)
  local n = #reply
  local ready = waiting(counters)
  reply[n + 1] = ready > 0 and is_paused() and 0 or ready
  reply[n + 2] = served.fence
  reply[n + 3] = table.concat(lost, " ")
  reply[n + 4] = table.concat(served.shares, " ")
  reply[n + 5] = served.ids
  n = n + 5
  local values, metas = served.values, served.metas
  for i = 1, #values do reply[n + i] = values[i] end
  n = n + #values
  for i = 1, #metas do reply[n + i] = metas[i] end
  return reply
end
