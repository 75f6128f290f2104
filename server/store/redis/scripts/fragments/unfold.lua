-- use: folded
-- use: basics
local AT_ONCE = 1000

-- What went straight of the topic and is there still, fields and values in turn.
local function named_entries(names)
  local fields, entries = {}, {}
  for field in string.gmatch(names, "[^\n]+\n[^\n]+") do fields[#fields + 1] = field end
  local values = call("HMGET", STRAIGHT, unpack(fields))
  for i = 1, #fields do
    if values[i] then put(entries, fields[i], values[i]) end
  end
  return entries
end

-- The same, when there are many of them. Names of topics have no characters that mean something in a pattern.
local function all_entries()
  local entries, seen, cursor = {}, {}, "0"
  repeat
    local page = call("HSCAN", STRAIGHT, cursor, "MATCH", "*\n" .. topic, "COUNT", AT_ONCE)
    for i = 1, #page[2], 2 do
      local field = page[2][i]
      if not seen[field] then put(entries, field, page[2][i + 1]) end
      seen[field] = true
    end
    cursor = page[1]
  until cursor == "0"
  return entries
end

-- Puts them where all other tasks and leases are.
local function settle(entries)
  for first = 1, #entries, 2 * AT_ONCE do
    local fields, records, leases = {}, {}, {}
    for i = first, math.min(first + 2 * AT_ONCE, #entries) - 1, 2 do
      local field, value = entries[i], entries[i + 1]
      local id, session = string.sub(field, 1, -#topic - 2), session_of(value)
      local task = string.sub(value, TOKEN + 1, TOKEN + PLACE) .. string.sub(value, LEASE + 2 + #session)
      fields[#fields + 1] = field
      put(records, id, task)
      leases[session] = leases[session] or {}
      put(leases[session], id, filled(string.sub(value, 1, LEASE) .. fields_of(task), (struct.unpack(">I6", value))))
    end
    call("HDEL", STRAIGHT, unpack(fields))
    call("HSET", TASKS, unpack(records))
    for session, its in pairs(leases) do call("HSET", LEASES .. session, unpack(its)) end
  end
end

-- Puts the tasks of a folded topic where all others are, and its counters: what a
-- script does first that knows of no folded topics.
local function unfold()
  local state, fence = unpack(call("HMGET", FOLDED, topic, FENCE))
  if not state then return end
  -- Removing comes first: a store without memory refuses a script whose first write adds something.
  call("HDEL", FOLDED, topic)
  local before = call("HMGET", STATS, "enqueued", "started", "fence")
  local enqueued, completed, bytes, in_hand = struct.unpack(STATE, state)
  local started = (before[2] or 0) + enqueued - (before[1] or 0)
  fence = math.max(fence and struct.unpack(">I6", fence) or 0, tonumber(before[3] or 0))
  call("HSET", STATS, "enqueued", enqueued, "started", started, "completed", completed, "bytes", bytes, "fence", fence)
  if in_hand == 0 then return end
  local names = names_in(state)
  local entries = (names == MANY or names == "") and {} or named_entries(names)
  settle(#entries / 2 >= in_hand and entries or all_entries())
end
