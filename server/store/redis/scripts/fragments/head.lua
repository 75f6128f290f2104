-- The head of the input queue: of both its parts, in order of place.
local SEGMENTS_READ_MAX = 16

-- Not by `<`: strings are compared as the locale has it.
local function is_before(entry, other)
  local priority, sequence = struct.unpack(">I4I6", entry)
  local its_priority, its_sequence = struct.unpack(">I4I6", other)
  if priority == its_priority then return sequence < its_sequence end
  return priority < its_priority
end

-- Up to `limit` entries of segments, from the one of that rank in the index on,
-- and in it behind the first `skip`. `parts` tells how many of them are of which
-- segment, and whether those are all of it; `lost` are segments that are named
-- and not there; `more` tells that there are others than the few it looked at.
local function arrivals(limit, first_rank, skip)
  local entries, parts, lost = {}, {}, nil
  for rank = first_rank, first_rank + SEGMENTS_READ_MAX - 1 do
    local number = #entries < limit and call("ZRANGE", SEGMENTS, rank, rank)[1]
    if not number then return { entries = entries, parts = parts, lost = lost, more = false } end
    local left = limit - #entries
    -- One more than is wanted tells whether those are all.
    local some = call("LRANGE", SEGMENT .. number, skip, skip + left)
    local size = math.min(#some, left)
    if size > 0 then
      parts[#parts + 1] = { number = number, size = size, all = skip == 0 and #some <= left }
    elseif skip == 0 then
      lost = lost or {}
      lost[#lost + 1] = number
    end
    some[left + 1] = nil
    if #entries == 0 then
      entries = some
    else
      local n = #entries
      for i = 1, size do entries[n + i] = some[i] end
    end
    skip = 0
  end
  local more = #entries < limit and call("ZCARD", SEGMENTS) > first_rank + SEGMENTS_READ_MAX
  return { entries = entries, parts = parts, lost = lost, more = more }
end

-- The first `limit` entries of `ready` and of segments together, in the form of
-- `arrivals`, with how many of the first i are of `ready`.
local function merge(sorted, arrived, limit)
  local entries, of_ready, s, a = {}, {}, 1, 1
  for i = 1, limit do
    local one, other = sorted[s], arrived.entries[a]
    -- What is sorted may belong behind arrivals that were not looked at.
    if not other and (arrived.more or not one) then break end
    if other and not (one and is_before(one, other)) then
      entries[i], a = other, a + 1
    else
      entries[i], s = one, s + 1
    end
    of_ready[i] = s - 1
  end
  return { entries = entries, parts = arrived.parts, lost = arrived.lost, more = arrived.more, of_ready = of_ready }
end

-- The head of the input queue; `in_ready` and `in_segments` tell whether there is
-- anything in either part.
local function input_head(limit, in_ready, in_segments)
  if not in_ready then return arrivals(limit, 0, 0) end
  local sorted = call("ZRANGE", READY, 0, limit - 1)
  if not in_segments then return { entries = sorted, all_ready = true } end
  return merge(sorted, arrivals(limit, 0, 0), limit)
end

-- How many of the first `n` are of `ready`.
local function ready_among(head, n)
  if head.of_ready then return head.of_ready[n] or 0 end
  return head.all_ready and n or 0
end

-- Nobody may run into lost segments again and again.
local function forget_lost(head)
  if head.lost then call("ZREM", SEGMENTS, unpack(head.lost)) end
end

-- Takes the first `n` of them off the queue.
local function take_head(head, n)
  local of_ready = ready_among(head, n)
  if of_ready > 0 then call("ZREMRANGEBYRANK", READY, 0, of_ready - 1) end
  local left, at = n - of_ready, 0
  while left > 0 do
    at = at + 1
    local part = head.parts[at]
    local taken = math.min(left, part.size)
    if part.all and taken == part.size then
      call("DEL", SEGMENT .. part.number)
      call("ZREM", SEGMENTS, part.number)
    else
      call("LTRIM", SEGMENT .. part.number, taken, -1)
    end
    left = left - taken
  end
end
