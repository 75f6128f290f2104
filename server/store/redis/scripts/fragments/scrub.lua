-- What a scrub finds: {kind, id or "", detail, repaired} each. ARGV 4 and 5 are
-- repair and limit in each of its scripts.
local repair, limit, problems = ARGV[4] == "1", tonumber(ARGV[5]), {}

local function found(kind, id, detail, repaired)
  problems[#problems + 1] = { kind, id, detail, repaired and 1 or 0 }
end
