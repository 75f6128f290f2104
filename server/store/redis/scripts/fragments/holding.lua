-- use: basics
-- use: record
-- The leases a call names: ARGV from `at` on holds how many sessions there are,
-- then per session its id, a count, and ids and tokens packed. Returns ids and
-- tokens in that order, per task its lease as kept or false when it is not held
-- with that token, and its session; and where ARGV goes on.
local function holding(at)
  local ids, tokens, leases, sessions = {}, {}, {}, {}
  local groups = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, groups do
    local session, n = ARGV[at], tonumber(ARGV[at + 1])
    local refs = { struct.unpack(string.rep("Bc0c6", n), ARGV[at + 2]) }
    at = at + 3
    local its = {}
    for i = 1, n do its[i] = refs[2 * i - 1] end
    local kept = call("HMGET", LEASES .. session, unpack(its))
    local base = #ids
    for i = 1, n do
      local token, lease = refs[2 * i], kept[i]
      ids[base + i] = its[i]
      tokens[base + i] = token
      leases[base + i] = lease and string.sub(lease, 1, TOKEN) == token and lease
      sessions[base + i] = session
    end
  end
  return ids, tokens, leases, sessions, at
end

-- Ends those leases that are held, and returns their ids. Removing comes first:
-- a store without memory refuses a script whose first write adds something.
local function let_go(ids, leases, sessions)
  local gone, of_session, last = {}, {}, nil
  for i = 1, #ids + 1 do
    if sessions[i] ~= last then
      if #of_session > 0 then call("HDEL", LEASES .. last, unpack(of_session)) end
      of_session, last = {}, sessions[i]
    end
    if leases[i] then
      of_session[#of_session + 1] = ids[i]
      gone[#gone + 1] = ids[i]
    end
  end
  if #gone > 0 and any_notes() then
    call("HDEL", CANCELS, unpack(gone))
    call("HDEL", PROGRESS, unpack(gone))
  end
  return gone
end
