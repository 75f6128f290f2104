-- use: basics
-- use: shards
-- use: record
-- The ids that ended lately, in hashes of one window each: id -> token of the
-- completion, or "" when the task was cancelled. Of a window with many of them
-- all are in shards, and its hash has nothing but the field SHARDED. FILLED is what makes a hash a table: no ids.
local WINDOW_UNSHARDED_MAX = 1024
local SHARDED = ""
local FILLED = " "
local FILLED_FROM = 64

local function window_key(window_ms, back)
  return string.format("%s%d", ENDED, math.floor(tonumber(now_ms) / window_ms) - back)
end
-- A hash that is larger is from before there were shards, and too large to be moved.
local WINDOW_MOVED_MAX = 2048

-- For topics nobody prunes: prune frees it without blocking, and long before.
local function expire_later(key, window_ms) call("PEXPIRE", key, 4 * window_ms + 600000) end

local function remember_sharded(key, window_ms, id_tokens)
  each_shard(key .. ":", id_tokens, 2, function(shard_key, some)
    local is_new = call("EXISTS", shard_key) == 0
    if is_new then call("HSET", shard_key, FILLED, FILLER) end
    call("HSET", shard_key, unpack(some))
    if is_new then expire_later(shard_key, window_ms) end
  end)
end

-- `id_tokens` is ids and tokens in turn.
local function remember(window_ms, id_tokens)
  if window_ms == 0 or #id_tokens == 0 then return end
  local key = window_key(window_ms, 0)
  local held = call("HLEN", key)
  if held == 1 and call("HEXISTS", key, SHARDED) == 1 then
    return remember_sharded(key, window_ms, id_tokens)
  end
  if held >= WINDOW_UNSHARDED_MAX and held <= WINDOW_MOVED_MAX then
    call("HDEL", key, FILLED)
    remember_sharded(key, window_ms, call("HGETALL", key))
    remember_sharded(key, window_ms, id_tokens)
    call("DEL", key)
    id_tokens = { SHARDED, "1" }
    held = 0
  end
  if held < FILLED_FROM and held + #id_tokens / 2 >= FILLED_FROM then call("HSET", key, FILLED, FILLER) end
  call("HSET", key, unpack(id_tokens))
  if held == 0 then
    local over_ms = (math.floor(tonumber(now_ms) / window_ms) + 2) * window_ms
    call("ZADD", WINDOWS, over_ms, string.sub(key, #ENDED + 1))
    expire_later(key, window_ms)
  end
end

-- What one window has of the ids: false for nothing; nil when it has none at all.
local function remembered(key, ids)
  local n = #ids
  if n > 4 then
    local held = call("HLEN", key)
    if held == 0 then return nil end
    if held == 1 and call("HEXISTS", key, SHARDED) == 1 then return read_shards(key .. ":", ids) end
    return call("HMGET", key, unpack(ids))
  end
  ids[n + 1] = SHARDED
  local values = call("HMGET", key, unpack(ids))
  local is_sharded = values[n + 1]
  ids[n + 1], values[n + 1] = nil, nil
  return is_sharded and read_shards(key .. ":", ids) or values
end

-- Per id what is remembered of it, or false; nil when nothing is remembered at all.
local function recent(window_ms, ids)
  if window_ms == 0 or #ids == 0 then return nil end
  local newer, older = remembered(window_key(window_ms, 0), ids), remembered(window_key(window_ms, 1), ids)
  if not (newer and older) then return newer or older end
  for i = 1, #ids do newer[i] = newer[i] or older[i] end
  return newer
end

-- Ids that live again, or may.
local function forget_ended(ids)
  for _, window in ipairs(call("ZRANGE", WINDOWS, 0, -1)) do
    local key = ENDED .. window
    if call("HEXISTS", key, SHARDED) == 1 then drop_from_shards(key .. ":", ids) else call("HDEL", key, unpack(ids)) end
  end
end

-- Not DEL: freeing a million ids at once would hold up everybody.
local function unlink_window(key)
  if call("HEXISTS", key, SHARDED) == 1 then call("UNLINK", unpack(all_shards(key .. ":"))) end
  call("UNLINK", key)
end
