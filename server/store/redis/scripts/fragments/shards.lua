-- use: shard-of
-- The shard of all ids, if it is the same one. `list` is ids, or with a step of 2
-- ids and values in turn.
local function only_shard(list, step)
  local byte, shard = string.byte, shard_of(list[1])
  local high, low = byte(list[1], 6, 7)
  for i = 1 + step, #list, step do
    local its_high, its_low = byte(list[i], 6, 7)
    if its_low ~= low or its_high ~= high then
      if shard_of(list[i]) ~= shard then return nil end
      high, low = its_high, its_low
    end
  end
  return shard
end

-- Calls `visit` for each shard with its key, its part of the list, and where the
-- ids of that came in the list; with the list alone when it has a single shard.
local function each_shard(prefix, list, step, visit)
  if #list == 0 then return end
  local only = only_shard(list, step)
  if only then return visit(prefix .. only, list) end
  local parts = {}
  for i = 1, #list, step do
    local shard = shard_of(list[i])
    local part = parts[shard] or { list = {}, at = {} }
    parts[shard] = part
    local n = #part.list
    for k = 0, step - 1 do part.list[n + 1 + k] = list[i + k] end
    part.at[#part.at + 1] = (i - 1) / step + 1
  end
  for shard, part in pairs(parts) do visit(prefix .. shard, part.list, part.at) end
end

-- Values by id, false for none.
local function read_shards(prefix, ids)
  local values = {}
  each_shard(prefix, ids, 1, function(key, some, at)
    local found = call("HMGET", key, unpack(some))
    if not at then values = found return end
    for k = 1, #at do values[at[k]] = found[k] end
  end)
  return values
end

-- How many of the ids the shards had.
local function drop_from_shards(prefix, ids)
  local gone = 0
  each_shard(prefix, ids, 1, function(key, some) gone = gone + call("HDEL", key, unpack(some)) end)
  return gone
end

local function all_shards(prefix)
  local keys = {}
  for shard = 0, SHARDS - 1 do keys[shard + 1] = prefix .. shard end
  return keys
end
