-- use: basics
-- use: shards
-- The tasks themselves, by id: place and record. Those of a topic that holds few
-- are in `tasks`; the others in shards, and `sharded` counts them.
local UNSHARDED_MAX = 4096

-- Whether it is worth a look that nothing is in the hash.
local function all_sharded(n) return n > 16 and call("EXISTS", TASKS) == 0 end

-- Of ids `first` to `last`, of all unless they are given; false for no such task.
local function read_records(ids, first, last)
  first, last = first or 1, last or #ids
  if last < first then return {} end
  if all_sharded(last - first + 1) then return read_shards(SHARD, { unpack(ids, first, last) }) end
  local values, missing, at = call("HMGET", TASKS, unpack(ids, first, last)), {}, {}
  for i = 1, #values do
    if not values[i] then
      local n = #missing + 1
      missing[n], at[n] = ids[first + i - 1], i
    end
  end
  if #missing == 0 then return values end
  local others = read_shards(SHARD, missing)
  if #missing == #values then return others end
  for k = 1, #at do values[at[k]] = others[k] end
  return values
end

-- The same of all, for tasks that are likely unknown.
local function known_among(ids, some_sharded)
  if some_sharded then return read_records(ids) end
  return call("HMGET", TASKS, unpack(ids))
end

-- `records` is ids and values in turn, of tasks that are new; `unsharded` and
-- `sharded` is how many there are. Returns how many went into shards.
local function write_records(records, unsharded, sharded)
  if unsharded + sharded < (sharded > 0 and UNSHARDED_MAX / 2 or UNSHARDED_MAX) then
    call("HSET", TASKS, unpack(records))
    return 0
  end
  each_shard(SHARD, records, 2, function(key, some) call("HSET", key, unpack(some)) end)
  return #records / 2
end

local function drop_records(ids)
  local gone = all_sharded(#ids) and 0 or call("HDEL", TASKS, unpack(ids))
  if gone < #ids then count("sharded", -drop_from_shards(SHARD, ids)) end
end

-- With its place.
local function size_of_record(id)
  local size = call("HSTRLEN", TASKS, id)
  return size > 0 and size or call("HSTRLEN", SHARD .. shard_of(id), id)
end
