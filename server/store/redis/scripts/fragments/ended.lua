-- use: basics
-- The ids that ended lately, in hashes of one window each: id -> token of the
-- completion, or "" when the task was cancelled.
local function window_key(window_ms, back)
  return string.format("%s%d", ENDED, math.floor(tonumber(now_ms) / window_ms) - back)
end

-- `pairs` is ids and tokens in turn.
local function remember(window_ms, id_tokens)
  if window_ms == 0 or #id_tokens == 0 then return end
  local key = window_key(window_ms, 0)
  local is_new = call("EXISTS", key) == 0
  call("HSET", key, unpack(id_tokens))
  if is_new then
    local over_ms = (math.floor(tonumber(now_ms) / window_ms) + 2) * window_ms
    call("ZADD", WINDOWS, over_ms, string.sub(key, #ENDED + 1))
    -- Prune frees it without blocking, and long before; this is for topics nobody prunes.
    call("PEXPIRE", key, 4 * window_ms + 600000)
  end
end

-- Ids that live again, or may.
local function forget_ended(ids)
  for _, window in ipairs(call("ZRANGE", WINDOWS, 0, -1)) do call("HDEL", ENDED .. window, unpack(ids)) end
end

-- Per id what is remembered of it, or false; nil when nothing is remembered at all.
local function recent(window_ms, ids)
  if window_ms == 0 or #ids == 0 then return nil end
  local newer = side(window_key(window_ms, 0), ids)
  local older = side(window_key(window_ms, 1), ids)
  if not (newer and older) then return newer or older end
  for i = 1, #ids do newer[i] = newer[i] or older[i] end
  return newer
end
