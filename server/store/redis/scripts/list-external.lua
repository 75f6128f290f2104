-- list-external: a page of the tasks with an external id, in order of id.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 external_id  5 state  6 limit  7 after_id
--       state "" for any; after_id "" at first
-- Reply {"page", rows, next}
--       next is {id} of the last task looked at, or {} on the last page
-- use: topic
-- use: unfold
-- use: locate
-- use: rows

unfold()
local prefix, state, limit, after_id = ARGV[4] .. "\n", ARGV[5], tonumber(ARGV[6]), ARGV[7]
local LOOKED_AT_MAX = 1000

-- One more than asked for tells whether there is another page. A state that few
-- of the tasks are in ends a page early rather than making a call long.
local page, last, looked_at = {}, {}, 0
local from = "(" .. prefix .. after_id
while true do
  local members = call("ZRANGEBYLEX", XIDS, from, "(" .. ARGV[4] .. "\11", "LIMIT", 0, limit + 1)
  local ids = {}
  for i, member in ipairs(members) do ids[i] = string.sub(member, #prefix + 1) end
  for _, task in ipairs(locate(ids, true)) do
    if task.state and (state == "" or task.state == state) then page[#page + 1] = task end
  end
  looked_at = looked_at + #members
  if #page > limit then
    for i = #page, limit + 1, -1 do page[i] = nil end
    last = { page[limit].id }
    break
  end
  if #members <= limit then break end
  from = "(" .. members[#members]
  if looked_at >= LOOKED_AT_MAX then
    last = { ids[#ids] }
    break
  end
end
return { "page", rows_of(page), last }
