-- use: shard-of
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

-- Whether anything is remembered of an id.
local function is_recent(window_ms, id)
  for back = 0, window_ms == 0 and -1 or 1 do
    local key = window_key(window_ms, back)
    local found = call("HMGET", key, id, SHARDED)
    if found[1] or found[2] and call("HEXISTS", key .. ":" .. shard_of(id), id) == 1 then return true end
  end
  return false
end

-- The hash in which an id is remembered by writing it there; nil when more is to be done.
local function usual_window(window_ms, id)
  if window_ms == 0 then return nil end
  local key = window_key(window_ms, 0)
  local held = call("HLEN", key)
  if held == 1 and call("HEXISTS", key, SHARDED) == 1 then
    local shard = key .. ":" .. shard_of(id)
    return call("EXISTS", shard) == 1 and shard or nil
  end
  return held > 0 and held ~= FILLED_FROM - 1 and held < WINDOW_UNSHARDED_MAX and key or nil
end
