-- complete-straight: leased -> completed, for tasks of any topics of a scope that went straight and are there still.
--
-- KEYS  the scope's, and what the names of its topics' keys begin with
-- ARGV  1 now_ms  2 ended_window_ms  3 count  4 fields  5 leases  6 topics_count  7 topics  8.. sessions
--       topics and fields as enqueue-straight has them; leases, packed: number of the session, token
-- Reply {"completed", outcomes}
--       outcomes is a letter per lease: c completed, - declined; or "" when all are completed
-- use: scope
-- use: folded
-- use: ended

local n, m = tonumber(ARGV[3]), tonumber(ARGV[6])
local fields = { struct.unpack(string.rep(">I2c0", n), ARGV[4]) }
local leases = { struct.unpack(string.rep(">I2c6", n), ARGV[5]) }
local topics, names = { struct.unpack(string.rep(">Bc0I2", m), ARGV[7]) }, {}
fields[n + 1] = nil
for k = 1, m do names[k] = topics[2 * k - 1] end
local states, values = call("HMGET", FOLDED, unpack(names)), call("HMGET", STRAIGHT, unpack(fields))

local sub, folded, gone, ended, declined, last, done = string.sub, {}, {}, {}, {}, 0, 0
for k = 1, m do
  local state, first = states[k], last + 1
  last = last + topics[2 * k]
  if state then
    local enqueued, completed, bytes, in_hand, others = struct.unpack(STATE, state)
    for i = first, last do
      local value, token = values[i], leases[2 * i]
      if value and sub(value, 1, TOKEN) == token and session_of(value) == ARGV[7 + leases[2 * i - 1]] then
        done = done + 1
        completed, in_hand, bytes = completed + 1, in_hand - 1, bytes - bytes_of(value)
        gone[done], ended[2 * done - 1], ended[2 * done] = fields[i], fields[i], token
      else
        declined[i] = true
      end
    end
    local its_names = in_hand > 0 and names_in(state) or ""
    put(folded, names[k], struct.pack(STATE, enqueued, completed, bytes, in_hand, others) .. its_names)
  else
    for i = first, last do declined[i] = true end
  end
end
if done == 0 then return { "completed", string.rep("-", n) } end
-- Removing comes first: a store without memory refuses a script whose first write adds something.
call("HDEL", STRAIGHT, unpack(gone))
remember(window_ms, ended)
call("HSET", FOLDED, unpack(folded))
if done == n then return { "completed", "" } end
for i = 1, n do declined[i] = declined[i] and "-" or "c" end
return { "completed", table.concat(declined) }
