-- fail: leased -> scheduled, ready or dead, as the caller decided; or -> cancelled where that was asked for.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 ended_window_ms  5 failures
--       6.. leases: sessions, then per session: id, count, ids and tokens packed
--       failures, packed, in the order of the leases: due_ms (0: at once), reason ("": retry), error
-- Reply {"failed", outcomes}
--       outcomes is a letter per lease: r retried, b buried, a aborted, l lost
-- use: topic
-- use: unfold
-- use: field
-- use: wake
-- use: holding
-- use: ending
-- use: meta

unfold()
local window_ms = tonumber(ARGV[4])
local ids, tokens, leases, sessions = holding(6)
local failures = { struct.unpack(string.rep(">I6Bc0I4c0", #ids), ARGV[5]) }
local cancels, metas = side(CANCELS, ids) or {}, side(META, ids) or {}
let_go(ids, leases, sessions)

-- Whether the task is still where the failure with that mark put it.
local function still(id, mark)
  local value = read_records({ id })[1]
  if not value then return false end
  local member = string.sub(value, 1, PLACE) .. id
  if mark == "b" then return call("ZSCORE", DEAD, member) end
  return call("ZSCORE", SCHEDULED, member) or call("ZSCORE", READY, member)
end

local function repeated(i)
  local mark = parse_meta(metas[i]).mark
  if mark == "" or string.sub(mark, 2) ~= token_of(tokens[i]) then return "l" end
  local outcome = string.sub(mark, 1, 1)
  return still(ids[i], outcome) and outcome or "l"
end

local outcomes, new_metas, aborted, ended = {}, {}, {}, {}
local ready, scheduled, dead = {}, {}, {}
for i = 1, #ids do
  local id, lease = ids[i], leases[i]
  if not lease then
    outcomes[i] = repeated(i)
  else
    local due_ms, reason, error = failures[3 * i - 2], failures[3 * i - 1], failures[3 * i]
    local meta, task = parse_meta(metas[i]), lease_of(lease)
    local member = task.place .. id
    task.id = id
    if cancels[i] then
      outcomes[i] = "a"
      aborted[#aborted + 1] = task
      put(ended, field_of(id), "")
    elseif reason ~= "" then
      outcomes[i] = "b"
      put(dead, now_ms, member)
    elseif due_ms > 0 then
      outcomes[i] = "r"
      put(scheduled, due_ms, member)
    else
      outcomes[i] = "r"
      ready[#ready + 1] = member
    end
    if outcomes[i] ~= "a" then
      meta.failures, meta.mark, meta.reason, meta.error = meta.failures + 1, outcomes[i] .. token_of(tokens[i]), reason, error
      put(new_metas, id, format_meta(meta))
    end
  end
end
if #new_metas > 0 then call("HSET", META, unpack(new_metas)) end
if #dead > 0 then call("ZADD", DEAD, unpack(dead)) end
count("failed", #dead / 2)
count("retried", #ready + #scheduled / 2)
count("aborted", #aborted)
finish(CANCELLED, aborted)
remember(window_ms, ended)
make_ready(ready)
schedule(scheduled)
return { "failed", table.concat(outcomes) }
