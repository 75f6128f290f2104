-- use: unfold
-- use: records
-- use: scrub
-- Entries among what went straight of a topic that is not folded are found by nobody else. They go where all tasks
-- are, unless one of that id is there.
local function check_straight()
  local entries, ids, orphans = all_entries(), {}, {}
  for i = 1, #entries, 2 do ids[#ids + 1] = string.sub(entries[i], 1, -#topic - 2) end
  local known = read_records(ids)
  for i, id in ipairs(ids) do
    local field, value = entries[2 * i - 1], entries[2 * i]
    if known[i] then
      found("two_states", id, "went straight, and is in the topic", repair)
      if repair then call("HDEL", STRAIGHT, field) end
    else
      found("stray_task", id, "went straight, and the topic is not folded", repair)
      put(orphans, field, value)
    end
  end
  if repair then settle(orphans) end
end
