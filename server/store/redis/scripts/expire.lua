-- expire: ends a session's hold on the topic, and its leases: leased -> ready, dead or cancelled.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 ended_window_ms  5 session  6 charge  7 lost_leases_max
--       8 error  9 limit  10.. undelivered: tokens
-- Reply {"expired", more, rows}
--       a row is id, external id, outcome (expired, buried, released, aborted), failures, lost leases
-- use: topic
-- use: unfold
-- use: field
-- use: wake
-- use: holding
-- use: ending
-- use: meta

unfold()
local window_ms, session, charge, lost_max, error = tonumber(ARGV[4]), ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
local limit, undelivered = tonumber(ARGV[9]), {}
for i = 10, #ARGV do undelivered[ARGV[i]] = true end
local leases_key = LEASES .. session

-- A holder that is over stays named until its leases are gone: by it they are found.
local was_open = tonumber(call("HGET", HOLDERS, session))
call("HDEL", HOLDERS, session)
-- Nor does it take what goes straight, on any topic, until it is closed.
if was_open and call("HEXISTS", TAKERS, session) == 1 then call("HSET", TAKERS, session, "-") end
local all = call("HGETALL", leases_key)
local ids, leases, sessions = {}, {}, {}
for i = 1, math.min(#all / 2, limit) do
  ids[i], leases[i], sessions[i] = all[2 * i - 1], all[2 * i], session
end
local more = #all / 2 > #ids
local cancels, metas = side(CANCELS, ids) or {}, side(META, ids) or {}
let_go(ids, leases, sessions)
if more then call("HSET", HOLDERS, session, "-") end

local rows, new_metas, ready, dead, aborted, ended, charged = {}, {}, {}, {}, {}, {}, 0
for i, id in ipairs(ids) do
  local task, meta = lease_of(leases[i]), parse_meta(metas[i])
  local member, outcome = task.place .. id, "released"
  task.id = id
  if cancels[i] then
    outcome = "aborted"
    aborted[#aborted + 1] = task
    put(ended, field_of(id), "")
  elseif charge == "lost" and not undelivered[token_of(leases[i])] then
    charged = charged + 1
    meta.lost, meta.error = meta.lost + 1, error
    outcome = meta.lost >= lost_max and "buried" or "expired"
    meta.reason = outcome == "buried" and "lost_leases" or ""
  end
  if outcome == "buried" then
    put(dead, now_ms, member)
  elseif outcome ~= "aborted" then
    ready[#ready + 1] = member
  end
  meta.mark = ""
  if metas[i] or meta.lost > 0 then
    put(new_metas, id, format_meta(meta))
  end
  rows[i] = { id, (parse_fields(task.fields)), outcome, meta.failures, meta.lost }
end

if #new_metas > 0 then call("HSET", META, unpack(new_metas)) end
if #dead > 0 then call("ZADD", DEAD, unpack(dead)) end
count("expired", charged)
count("released", #ids - charged - #aborted)
count("aborted", #aborted)
finish(CANCELLED, aborted)
remember(window_ms, ended)
make_ready(ready)
return { "expired", more and 1 or 0, rows }
