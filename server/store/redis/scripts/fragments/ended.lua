-- use: basics
-- use: shards
-- use: record
-- The tasks of all topics of the scope that ended lately, in hashes of one window
-- each: id, newline, topic -> token of the completion, or "" when the task was
-- cancelled. Of a window with many of them all are in shards, and its hash has
-- nothing but the field SHARDED. FILLED is what makes a hash a table: no tasks.
local WINDOW_UNSHARDED_MAX = 1024
local SHARDED = ""
local FILLED = " "
local FILLED_FROM = 64

local function window_key(window_ms, back)
  return string.format("%s%d", ENDED, math.floor(tonumber(now_ms) / window_ms) - back)
end

-- For scopes nobody prunes: prune frees it without blocking, and long before.
local function expire_later(key, window_ms) call("PEXPIRE", key, 4 * window_ms + 600000) end

local function remember_sharded(key, window_ms, field_tokens)
  each_shard(key .. ":", field_tokens, 2, function(shard_key, some)
    local is_new = call("EXISTS", shard_key) == 0
    if is_new then call("HSET", shard_key, FILLED, FILLER) end
    call("HSET", shard_key, unpack(some))
    if is_new then expire_later(shard_key, window_ms) end
  end)
end

-- `field_tokens` is names of tasks and tokens in turn.
local function remember(window_ms, field_tokens)
  if window_ms == 0 or #field_tokens == 0 then return end
  local key = window_key(window_ms, 0)
  local held = call("HLEN", key)
  if held == 1 and call("HEXISTS", key, SHARDED) == 1 then
    return remember_sharded(key, window_ms, field_tokens)
  end
  if held >= WINDOW_UNSHARDED_MAX then
    call("HDEL", key, FILLED)
    remember_sharded(key, window_ms, call("HGETALL", key))
    remember_sharded(key, window_ms, field_tokens)
    call("DEL", key)
    field_tokens = { SHARDED, "1" }
    held = 0
  end
  if held < FILLED_FROM and held + #field_tokens / 2 >= FILLED_FROM then call("HSET", key, FILLED, FILLER) end
  call("HSET", key, unpack(field_tokens))
  if held == 0 then
    local over_ms = (math.floor(tonumber(now_ms) / window_ms) + 2) * window_ms
    call("ZADD", WINDOWS, over_ms, string.sub(key, #ENDED + 1))
    expire_later(key, window_ms)
  end
end

-- What one window has of the tasks with those names: false for nothing; nil when it has none at all.
local function remembered(key, fields)
  local n = #fields
  if n > 4 then
    local held = call("HLEN", key)
    if held == 0 then return nil end
    if held == 1 and call("HEXISTS", key, SHARDED) == 1 then return read_shards(key .. ":", fields) end
    return call("HMGET", key, unpack(fields))
  end
  fields[n + 1] = SHARDED
  local values = call("HMGET", key, unpack(fields))
  local is_sharded = values[n + 1]
  fields[n + 1], values[n + 1] = nil, nil
  return is_sharded and read_shards(key .. ":", fields) or values
end

-- Per task what is remembered of it, or false; nil when nothing is remembered at all.
local function recent(window_ms, fields)
  if window_ms == 0 or #fields == 0 then return nil end
  local newer, older = remembered(window_key(window_ms, 0), fields), remembered(window_key(window_ms, 1), fields)
  if not (newer and older) then return newer or older end
  for i = 1, #fields do newer[i] = newer[i] or older[i] end
  return newer
end

-- Tasks that live again, or may.
local function forget_ended(fields)
  for _, window in ipairs(call("ZRANGE", WINDOWS, 0, -1)) do
    local key = ENDED .. window
    if call("HEXISTS", key, SHARDED) == 1 then drop_from_shards(key .. ":", fields) else call("HDEL", key, unpack(fields)) end
  end
end

-- Not DEL: freeing a million of them at once would hold up everybody.
local function unlink_window(key)
  if call("HEXISTS", key, SHARDED) == 1 then call("UNLINK", unpack(all_shards(key .. ":"))) end
  call("UNLINK", key)
end
