-- scrub-strays: tasks that were in no state: leased by a session nobody finds there, or made ready.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 repair  5 limit  6 sessions  7.. ids
--       sessions: all there are, joined by newlines
-- Reply {"scrubbed", problems, sessions}
--       sessions hold leases here without being holders; with repair they are, marked as over
-- use: topic
-- use: unfold
-- use: locate
-- use: wake
-- use: scrub

unfold()
local hidden, seen, ready, ids = {}, {}, {}, {}
local function find_hidden(id)
  for session in string.gmatch(ARGV[6], "[^\n]+") do
    if call("HEXISTS", LEASES .. session, id) == 1 then return session end
  end
end

for _, task in ipairs(locate({ unpack(ARGV, 7) }, false)) do
  -- It may have moved, or gone, since it was looked at.
  if task.state == "leased" and not task.session then
    local session = find_hidden(task.id)
    if not session then
      found("stray_task", task.id, "in no state", repair)
      ready[#ready + 1] = task.place .. task.id
      ids[#ids + 1] = task.id
    elseif not seen[session] then
      seen[session] = true
      hidden[#hidden + 1] = session
      if repair then call("HSET", HOLDERS, session, "-") end
    end
  end
end
if repair and #ready > 0 then
  call("HDEL", CANCELS, unpack(ids))
  call("HDEL", PROGRESS, unpack(ids))
  make_ready(ready)
end
return { "scrubbed", problems, hidden }
