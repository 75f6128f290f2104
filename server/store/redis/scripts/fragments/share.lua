-- use: record
-- use: records
-- How many of the `n` tasks each demand gets, and how many that is in all.
-- `size_of` tells a task's bytes; it may read ahead as far as the bytes left go.
local function share(demands, n, size_of)
  local taken, shares = 0, {}
  for d, demand in ipairs(demands) do
    local got, bytes_left = 0, demand.bytes_max
    while got < demand.limit and taken < n do
      local bytes = size_of(taken + 1, bytes_left)
      if got > 0 and bytes > bytes_left then break end
      bytes_left = bytes_left - bytes
      got = got + 1
      taken = taken + 1
    end
    shares[d] = got
  end
  return taken, shares
end

-- Sizes of tasks whose values are known.
local function sizes_of(values)
  return function(i) return #values[i] - PLACE end
end

-- Sizes of tasks at the head of the input queue, which it reads as it goes, and
-- ahead only as far as the sizes seen so far allow: a thousand large records at
-- once would be more than the store's memory takes.
local function reader(ids, values)
  local bytes_seen = 0
  return function(i, bytes_left)
    if not values[i] then
      local ahead = 8
      if i > 1 then ahead = math.max(1, math.floor(bytes_left / (bytes_seen / (i - 1)))) end
      local read = read_records(ids, i, math.min(i + ahead - 1, #ids))
      for j = 1, #read do values[i + j - 1] = read[j] end
    end
    bytes_seen = bytes_seen + #values[i]
    return #values[i] - PLACE
  end
end
