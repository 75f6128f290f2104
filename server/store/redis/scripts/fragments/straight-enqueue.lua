-- use: folded
-- use: ended
-- use: records
-- From which window on it will be known what ended; and the highest rank of what did, if that is little enough to be looked at.
local function ended_before(window_ms)
  local high, low = 0, 0
  for _, window in ipairs(window_ms > 0 and call("ZRANGE", WINDOWS, 0, -1) or {}) do
    local few = call("HLEN", ENDED .. window) < FILLED_FROM
    local ids = few and call("HKEYS", ENDED .. window)
    -- It may be in windows up to the next one, as clocks differ.
    if not few or ids[1] == SHARDED then return math.floor(now_ms / window_ms) + 2, 0, 0 end
    for i = 1, #ids do high, low = higher(high, low, rank_of(ids[i])) end
  end
  return 0, high, low
end

-- Folds the topic, if nothing in it waits or is leased.
local function fold(window_ms)
  if call("EXISTS", READY, SEGMENTS) > 0 then return false end
  local counters = call("HMGET", STATS, "enqueued", "started", "completed", "bytes", "fence", "sharded")
  for i = 1, 6 do counters[i] = tonumber(counters[i] or 0) end
  local others = call("HLEN", TASKS) + counters[6]
  local at_rest = 0
  if others > 0 then
    for _, queue in ipairs({ SCHEDULED, DEAD, COMPLETED, CANCELLED }) do at_rest = at_rest + call("ZCARD", queue) end
  end
  local holders = call("HGETALL", HOLDERS)
  if others > at_rest or #holders > 2 * HOLDERS_MAX or call("HGET", SETTINGS, "paused") == "1" then return false end
  local known_from, high, low = ended_before(window_ms)
  local fields = { STATE, struct.pack(STATE_FORMAT, counters[1], counters[2], counters[3], counters[4], counters[5],
    0, others > 0 and 1 or 0, known_from, high, low) }
  for i = 1, #holders, 2 do put(fields, " " .. holders[i], string.match(holders[i + 1], "^[^\n]*")) end
  call("HSET", FOLDED, unpack(fields))
  return true
end

-- Whether any of the ids ended lately. Those of the SDK rise, and so do most: what
-- comes behind all that ended since the windows began needs no look.
local function any_ended(window_ms, ids, known_from, last_high, last_low)
  if window_ms == 0 then return false end
  if now_ms / window_ms >= known_from + 1 then
    local all_newer = true
    for i = 1, #ids do
      local high, low = rank_of(ids[i])
      all_newer = all_newer and is_higher(high, low, last_high, last_low)
    end
    if all_newer then return false end
  end
  local ended = recent(window_ms, ids) or {}
  for i = 1, #ids do if ended[i] then return true end end
  return false
end

-- Plain tasks that find nobody waiting, and a worker that wants them all: what
-- most calls are about. What becomes of them is what the script would do. nil,
-- with no task written, when anything is unusual.
local function straight()
  local n, session = tonumber(ARGV[7]), ARGV[12]
  local is_plain = ARGV[9] == "1" and ARGV[10] == "0" and ARGV[5] == "0" and ARGV[6] == "0"
  if not is_plain or #ARGV ~= 15 or tonumber(ARGV[14]) < n then return nil end
  local packed, ids, asked, bytes = { struct.unpack(string.rep("Bc0>I4c0", n), ARGV[8]) }, {}, { STATE, " " .. session }, 0
  for i = 1, n do
    local id = packed[2 * i - 1]
    ids[i], asked[i + 2] = id, id
    bytes = bytes + #packed[2 * i]
  end
  if n > 1 and bytes > tonumber(ARGV[15]) then return nil end
  local window_ms = tonumber(ARGV[4])
  local found = call("HMGET", FOLDED, unpack(asked))
  if not found[1] and fold(window_ms) then found = call("HMGET", FOLDED, unpack(asked)) end
  if not found[1] or found[2] ~= ARGV[13] then return nil end
  local enqueued, started, completed, all_bytes, fence, in_hand, others, known_from, high, low =
    struct.unpack(STATE_FORMAT, found[1])
  if in_hand + n > FOLDED_MAX or any_ended(window_ms, ids, known_from, high, low) then return nil end
  local elsewhere = others == 1 and read_records(ids) or {}
  for i = 1, n do if found[i + 2] or elsewhere[i] then return nil end end

  local leased_at_ms, pack, size = tonumber(now_ms), struct.pack, #session
  fence = fence_at(leased_at_ms, fence)
  local fields = { STATE, pack(STATE_FORMAT, enqueued + n, started + n, completed, all_bytes + bytes, fence + n,
    in_hand + n, others, known_from, high, low) }
  for i = 1, n do
    local record = packed[2 * i]
    fields[2 * i + 1] = ids[i]
    fields[2 * i + 2] =
      pack(">I6I4I6I6I4Bc0c0", fence + i, NORMAL, enqueued + i, leased_at_ms, #record, size, session, record)
  end
  call("HSET", FOLDED, unpack(fields))
  return { "straight", fence + 1 }
end
