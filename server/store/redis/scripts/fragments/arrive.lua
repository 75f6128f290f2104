-- use: segments
-- use: wake
-- Appends entries that are in order of place, and behind all that came before.
local function arrive(entries)
  local first = 1
  while first <= #entries do
    local number, last = segment_of(entries[first]), #entries
    while segment_of(entries[last]) ~= number do last = last - 1 end
    local n = last - first + 1
    if call("RPUSH", SEGMENT .. number, unpack(entries, first, last)) == n then
      call("ZADD", SEGMENTS, number, number)
    end
    first = last + 1
  end
end

-- Puts entries of new tasks, in the order of their numbers, into the input queue.
local function queue_up(entries, all_normal, counters)
  local normal, others = all_normal and entries or {}, {}
  for i = 1, all_normal and 0 or #entries do
    local queue = segment_of(entries[i]) and normal or others
    queue[#queue + 1] = entries[i]
  end
  arrive(normal)
  add_ready(others)
  counters.segmented, counters.sorted = counters.segmented + #normal, counters.sorted + #others
end
