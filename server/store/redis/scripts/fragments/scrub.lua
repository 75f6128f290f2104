-- What a scrub finds: {kind, id or "", detail, repaired} each. ARGV 4 and 5 are
-- repair and limit in each of its scripts.
local repair, limit, problems = ARGV[4] == "1", tonumber(ARGV[5]), {}

local function found(kind, id, detail, repaired)
  problems[#problems + 1] = { kind, id, detail, repaired and 1 or 0 }
end

-- A segment that the index does not name is found by nobody. Told once.
local named = {}
local function check_named(number)
  if named[number] or call("ZSCORE", SEGMENTS, number) then return end
  named[number] = true
  found("wrong_count", "", string.format("segment %d is not in the index", number), repair)
  if repair then call("ZADD", SEGMENTS, number, number) end
end
