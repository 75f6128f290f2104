-- use: records
-- What a scrub finds: {kind, id or "", detail, repaired} each. ARGV 4 and 5 are
-- repair and limit in each of its scripts.
local repair, limit, problems = ARGV[4] == "1", tonumber(ARGV[5]), {}

local function stat(name) return tonumber(call("HGET", STATS, name)) or 0 end

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

-- The shards from that one on that there are, at most `count` of them.
local function shards_from(first, count)
  local shards = {}
  if first == 0 and call("EXISTS", unpack(all_shards(SHARD))) == 0 then return shards end
  for shard = first, SHARDS - 1 do
    if call("EXISTS", SHARD .. shard) == 1 then shards[#shards + 1] = shard end
    if #shards == count then break end
  end
  return shards
end

-- HSCAN brings the records along: of large ones it looks at fewer.
local PORTION_BYTES = 4000000

-- A portion of the records, ids and values in turn, and where the next one begins:
-- at HSCAN's cursor in `tasks`, or at shard:cursor; both at first and at last at "0".
local function page_of_records(at)
  local shard, cursor = string.match(at, "^(%d+):(%d+)$")
  local mean = stat("bytes") / math.max(1, call("HLEN", TASKS) + stat("sharded"))
  local portion = math.max(1, math.min(limit, math.floor(PORTION_BYTES / math.max(1, mean))))
  local page = call("HSCAN", shard and SHARD .. shard or TASKS, cursor or at, "COUNT", portion)
  if page[1] == "0" then shard = shards_from(shard and shard + 1 or 0, 1)[1] end
  return page[2], shard and shard .. ":" .. page[1] or page[1]
end
