-- use: segments
-- use: head
-- Where a page goes on that comes after an entry, "" for the first page. By halves,
-- because that entry may be gone.
local function search(entry, low, high, entry_at)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before(entry, entry_at(middle)) then high = middle else low = middle + 1 end
  end
  return low
end

-- In a zset: the rank of the first entry behind (score, entry).
local function rank_after(queue, score, entry)
  if entry == "" then return 0 end
  local low, high = call("ZCOUNT", queue, "-inf", "(" .. score), call("ZCOUNT", queue, "-inf", score)
  return search(entry, low, high, function(rank) return call("ZRANGE", queue, rank, rank)[1] end)
end

-- Among the segments: the rank of one in the index, and how many of its entries are not behind.
local function segment_after(entry)
  if entry == "" then return 0, 0 end
  local number = segment_of(entry)
  if not number then
    local comes_first = is_before(entry, struct.pack(">I4I6", NORMAL, 0))
    return comes_first and 0 or call("ZCARD", SEGMENTS), 0
  end
  local key = SEGMENT .. number
  local skip = search(entry, 0, call("LLEN", key), function(rank) return call("LINDEX", key, rank) end)
  return call("ZCOUNT", SEGMENTS, "-inf", "(" .. number), skip
end
