-- use: basics
-- Sorts entries into `ready` (the score is text: Redis formats
-- numbers with all their digits, which costs as much as the rest of this loop).
local function add_ready(entries)
  if #entries == 0 then return end
  local scored = {}
  for i = 1, #entries do
    scored[2 * i - 1] = "0"
    scored[2 * i] = entries[i]
  end
  call("ZADD", READY, unpack(scored))
end

local function wake_ready() call("PUBLISH", channel, "ready " .. topic) end

local function make_ready(members)
  if #members == 0 then return end
  local was_empty = call("EXISTS", READY, SEGMENTS) == 0
  add_ready(members)
  if was_empty then wake_ready() end
end

local function next_due_ms()
  return tonumber(call("ZRANGE", SCHEDULED, 0, 0, "WITHSCORES")[2])
end

-- `scored` is due moments and places .. ids in turn.
local function schedule(scored)
  if #scored == 0 then return end
  local before = next_due_ms()
  call("ZADD", SCHEDULED, unpack(scored))
  local after = next_due_ms()
  if not before or after < before then
    call("PUBLISH", channel, string.format("due %s %d", topic, after))
  end
end
