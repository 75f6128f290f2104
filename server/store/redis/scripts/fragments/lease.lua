-- use: basics
-- use: record
-- use: share
-- Serves demands (session, epoch, limit, bytes in turn, in ARGV from `first` on).
-- `fresh` holds tasks that are next in order without being in the input queue,
-- which is empty then: {members, values}. Every other task comes off the queue.
-- Every call of Redis takes some microseconds, which is most of what a script
-- costs that is about one task: hence one look for all counters, and one write.

local paused = call("HGET", SETTINGS, "paused") == "1"

local COUNTERS = { "enqueued", "started", "completed", "bytes", "fence" }

-- The counters that these scripts move, as numbers.
local function read_counters()
  local values, counters = call("HMGET", STATS, unpack(COUNTERS)), { before = {} }
  for i, name in ipairs(COUNTERS) do
    counters[name] = tonumber(values[i] or 0)
    counters.before[name] = counters[name]
  end
  return counters
end

local function write_counters(counters)
  local changed = {}
  for _, name in ipairs(COUNTERS) do
    if counters[name] ~= counters.before[name] then put(changed, name, counters[name]) end
  end
  if #changed > 0 then call("HSET", STATS, unpack(changed)) end
end

-- The demands of sessions that are open on the topic at that epoch, the numbers
-- of the others, and how many tasks are wanted in all.
local function open_demands(first)
  local demands, lost, wanted = {}, {}, 0
  for at = first, #ARGV, 4 do
    if call("HGET", HOLDERS, ARGV[at]) == ARGV[at + 1] then
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

-- Moves `counters`, which the caller writes.
local function serve(demands, wanted, counters, fresh)
  if wanted == 0 or paused then return NOTHING end
  local members = fresh and fresh.members or call("ZRANGE", READY, 0, wanted - 1)
  local values = fresh and fresh.values or {}
  local taken, shares = share(demands, members, reader(members, values))
  if taken == 0 then return NOTHING end
  -- The first write must be one that a store without memory allows.
  if not fresh then call("ZREMRANGEBYRANK", READY, 0, taken - 1) end
  local ids, at, leased_at_ms = {}, 0, tonumber(now_ms)
  -- Numbers never fall behind the time: see fenceAt in domain/ids.ts.
  local fence = math.max(counters.fence, (leased_at_ms - 1767225600000) * 128)
  counters.fence, counters.started = fence + taken, counters.started + taken
  for d, demand in ipairs(demands) do
    local leases = {}
    for i = at + 1, at + shares[d] do
      local member, value = members[i], values[i]
      local id, fields = string.sub(member, PLACE + 1), fields_of(value)
      local lease = struct.pack(">I6c10I6I4", fence + i, member, leased_at_ms, #value - PLACE)
      ids[i] = id
      leases[#leases + 1] = id
      leases[#leases + 1] = fields == "" and lease or lease .. fields
    end
    if #leases > 0 then call("HSET", LEASES .. demand.session, unpack(leases)) end
    at = at + shares[d]
  end
  -- A fresh task's record is known to the caller, and nothing else is known of it.
  if fresh then return { taken = taken, shares = shares, fence = fence, ids = "", values = {}, metas = {} } end
  for i = #values, taken + 1, -1 do values[i] = nil end
  local metas = side(META, ids) or {}
  return { taken = taken, shares = shares, fence = fence, ids = table.concat(ids, " "), values = values, metas = metas }
end

-- What every verb that hands out tasks replies with at the end: how many tasks
-- are left ready, the fence before the first token, the numbers of the lost
-- demands from 0, tasks per open demand, ids, all joined by spaces; then the
-- tasks' values, then their metas if any task has one. A list in the list would
-- be neater, and costs Redis a microsecond.
local function reply_with(reply, served, lost, ready)
  local n = #reply
  reply[n + 1] = paused and 0 or ready
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
