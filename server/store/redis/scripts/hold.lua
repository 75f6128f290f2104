-- hold: lets a session lease on a topic, at an epoch; or ends that.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 session  5 epoch  6 why
--       why is open, resume or close; an epoch never falls
-- What goes straight a session takes on all its topics or on none: from the first of
-- them on that its epoch rises on, or that it is closed on.
-- Reply {"held"} | {"over"}
-- use: topic
-- use: unfold
-- use: record

local session, epoch, why = ARGV[4], ARGV[5], ARGV[6]
local before = call("HGET", HOLDERS, session)
-- Leases that nobody ended yet are found by their holder's name: it stays, marked as over.
if why == "close" then
  unfold()
  call("HDEL", TAKERS, session)
  if before then call("HDEL", HOLDERS, session) end
  if call("EXISTS", LEASES .. session) == 1 then call("HSET", HOLDERS, session, "-") end
  return { "over" }
end
if before == "-" or (why == "resume" and not before) then return { "over" } end
if before and tonumber(before) >= tonumber(epoch) then return { "held" } end
-- Removing comes first: a store without memory refuses a script whose first write adds something.
call("HDEL", HOLDERS, session)
local function let_in(key) call("HSET", key, session, call("HLEN", key) < 32 and epoch or epoch .. FILLER) end
let_in(HOLDERS)
local taken = call("HGET", TAKERS, session)
if not taken or taken ~= "-" and tonumber(taken) < tonumber(epoch) then let_in(TAKERS) end
return { "held" }
