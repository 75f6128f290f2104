-- Adds to a counter, when there is something to add.
local function count(counter, n)
  if n ~= 0 then call("HINCRBY", STATS, counter, n) end
end

-- One of a topic's side hashes for these ids: a list of values, or nil when the
-- hash does not exist, which is the usual case; of many ids one look tells.
local function side(key, ids)
  if #ids == 0 or (#ids > 4 and call("EXISTS", key) == 0) then return nil end
  return call("HMGET", key, unpack(ids))
end

-- Whether there is anything beside tasks and queues, which there usually is not.
local notes = nil
local function any_notes()
  if notes == nil then notes = call("EXISTS", CANCELS, PROGRESS, META, RESULTS) > 0 end
  return notes
end

-- Appends what a variadic command takes two by two.
local function put(list, first, second)
  local n = #list
  list[n + 1], list[n + 2] = first, second
end
