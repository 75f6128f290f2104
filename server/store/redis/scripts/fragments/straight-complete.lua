-- use: folded
-- use: ended
-- The counterpart of straight-enqueue, for a worker that wants no others in return.
local function straight()
  if ARGV[5] ~= "0" or ARGV[8] ~= "1" or #ARGV ~= 11 then return nil end
  local session, n = ARGV[9], tonumber(ARGV[10])
  local refs, ids, asked = { struct.unpack(string.rep("Bc0c6", n), ARGV[11]) }, {}, { STATE }
  refs[2 * n + 1] = nil
  for i = 1, n do ids[i], asked[i + 1] = refs[2 * i - 1], refs[2 * i - 1] end
  local found = call("HMGET", FOLDED, unpack(asked))
  if not found[1] then return nil end
  local enqueued, started, completed, bytes, fence, in_hand, others, known_from, high, low =
    struct.unpack(STATE_FORMAT, found[1])
  for i = 1, n do
    local value = found[i + 1]
    if not value or string.sub(value, 1, TOKEN) ~= refs[2 * i] or session_of(value) ~= session then return nil end
    bytes = bytes - bytes_of(value)
    high, low = higher(high, low, rank_of(ids[i]))
  end
  -- Removing comes first: a store without memory refuses a script whose first write adds something.
  call("HDEL", FOLDED, unpack(ids))
  remember(tonumber(ARGV[4]), refs)
  call("HSET", FOLDED, STATE, struct.pack(STATE_FORMAT, enqueued, started, completed + n, bytes, fence,
    in_hand - n, others, known_from, high, low))
  return { "straight" }
end
