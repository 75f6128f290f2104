-- prune: forgets kept tasks whose retention is over, and ids whose window is over.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 limit
-- Reply {"pruned", count, moment the next retention ends or ""}
-- use: topic
-- use: unfold
-- use: record
-- use: removal
-- use: ended

-- Of the scope, whichever topic asks.
for _, window in ipairs(call("ZRANGEBYSCORE", WINDOWS, "-inf", now_ms, "LIMIT", 0, 100)) do
  unlink_window(ENDED .. window)
  call("ZREM", WINDOWS, window)
end

local members = call("ZRANGEBYSCORE", RETENTION, "-inf", now_ms, "LIMIT", 0, ARGV[4])
if #members > 0 then
  unfold()
  local ids, xids, bytes = {}, {}, 0
  local has_xids = call("EXISTS", XIDS) == 1
  for i, member in ipairs(members) do
    ids[i] = string.sub(member, PLACE + 1)
    bytes = bytes + size_of_record(ids[i]) - PLACE
    if has_xids then
      local external_id = parse_fields(fields_of(read_records(ids, i, i)[1]))
      if external_id ~= "" then xids[#xids + 1] = external_id .. "\n" .. ids[i] end
    end
  end
  for _, queue in ipairs({ RETENTION, COMPLETED, CANCELLED }) do call("ZREM", queue, unpack(members)) end
  forget(ids, bytes, xids)
end
local next = call("ZRANGE", RETENTION, 0, 0, "WITHSCORES")
return { "pruned", #members, next[2] or "" }
