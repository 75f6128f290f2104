-- scrub-segments: proves of a portion of a segment's entries that each has its task, and belongs there.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 repair  5 limit  6 cursor
--       cursor: the sequence number from which on to look
-- Reply {"scrubbed", checked, problems, cursor}
--       cursor is "0" after the last segment
-- use: topic
-- use: unfold
-- use: locate
-- use: scrub

unfold()
local from = tonumber(ARGV[6])
local number = tonumber(call("ZRANGEBYSCORE", SEGMENTS, math.floor(from / SPAN), "+inf", "LIMIT", 0, 1)[1])
if not number then return { "scrubbed", 0, problems, "0" } end
local key, name = SEGMENT .. number, string.format("segment %d", number)
local begins = from <= number * SPAN

local function take_out(kind, entry, detail)
  found(kind, string.sub(entry, PLACE + 1), detail, repair)
  -- The last one: of two that are the same the first is in its place.
  if repair then call("LREM", key, -1, entry) end
end

-- Of one segment there are few enough to read them all; their tasks may be large.
local entries, ids, seen, next_number = {}, {}, {}, (number + 1) * SPAN
local all = call("LRANGE", key, 0, -1)
for _, entry in ipairs(all) do
  local sequence = #entry > PLACE and segment_of(entry) == number and struct.unpack(">I6", entry, 5)
  if seen[entry] or not sequence then
    if begins then take_out(seen[entry] and "two_states" or "ghost_entry", entry, "in " .. name .. ", where it does not belong") end
  elseif sequence >= from and #ids < limit then
    entries[#entries + 1], ids[#ids + 1] = entry, string.sub(entry, PLACE + 1)
  elseif sequence >= from then
    next_number = math.min(next_number, sequence)
  end
  seen[entry] = true
end
for i, task in ipairs((read_tasks(ids, false))) do
  if not task.fields or task.place .. task.id ~= entries[i] then
    take_out("ghost_entry", entries[i], "in " .. name .. ", without its task")
  end
end
if #all == 0 then found("wrong_count", "", name .. " is in the index, and empty", repair) end
if call("EXISTS", key) == 0 and repair then call("ZREM", SEGMENTS, number) end
local is_last = next_number == (number + 1) * SPAN and call("ZCOUNT", SEGMENTS, number + 1, "+inf") == 0
return { "scrubbed", #ids, problems, is_last and "0" or string.format("%.0f", next_number) }
