-- enqueue-straight: -> leased, for tasks of any topics of a scope that are certainly new, where nothing waits.
--
-- KEYS  the scope's, and what the names of its topics' keys begin with, %s for the topic
-- ARGV  1 now_ms  2 ended_window_ms  3 count  4 fields  5 tasks  6 topics_count  7 topics
--       8.. takers: session, epoch
--       fields, packed: id, newline, topic; tasks of one topic stand together. None comes twice
--       tasks, packed: number of the taker; bytes of the record, session and record as `straight` has them.
--       None of them would be kept when it ends
--       topics, packed: name, how many of the tasks are its
-- Reply {"straight", first token, counts}
--       counts tells of each topic how many tasks were leased, which are its first ones; "" for all. Tokens rise by one
-- use: scope
-- use: folded
-- use: fold
-- use: ended

local n, m, NONE = tonumber(ARGV[3]), tonumber(ARGV[6]), {}
local fields = { struct.unpack(string.rep(">I2c0", n), ARGV[4]) }
local tasks = { struct.unpack(string.rep(">I2I4c0", n), ARGV[5]) }
local topics, names, takers = { struct.unpack(string.rep(">Bc0I2", m), ARGV[7]) }, { FENCE }, {}
fields[n + 1] = nil
for k = 1, m do names[k + 1] = topics[2 * k - 1] end
for s = 1, (#ARGV - 7) / 2 do takers[s] = ARGV[6 + 2 * s] end

local states, known = call("HMGET", FOLDED, unpack(names)), call("HMGET", STRAIGHT, unpack(fields))
local ended, room = recent(window_ms, fields) or NONE, STRAIGHT_MAX - call("HLEN", STRAIGHT)
-- Per taker how many bytes of a task are not its record; false if the session is not open at that epoch.
local open = call("HMGET", TAKERS, unpack(takers))
for s = 1, #takers do
  local epoch = ARGV[7 + 2 * s]
  open[s] = (open[s] == epoch or open[s] == epoch .. FILLER) and 5 + #takers[s]
end
local fence = fence_at(tonumber(now_ms), states[1] and struct.unpack(">I6", states[1]) or 0)
for k = 1, m do
  if not states[k + 1] and room > 0 then
    enter(topics[2 * k - 1])
    local state, its_fence = fold()
    if state then states[k + 1], fence = state, math.max(fence, its_fence) end
  end
end

-- Which of those tasks are in the topic, at rest.
local function at_rest(topic, first, last)
  local ids = {}
  for i = first, last do ids[i - first + 1] = string.sub(fields[i], 1, -#topic - 2) end
  enter(topic)
  local values, found = read_records(ids), {}
  for i = first, last do found[i] = values[i - first + 1] end
  return found
end

local pack, moment = struct.pack, struct.pack(">I6", now_ms)
local straight, folded, counts, last, taken = {}, {}, {}, 0, 0
for k = 1, m do
  local topic, state, first, before = topics[2 * k - 1], states[k + 1], last + 1, taken
  last = last + topics[2 * k]
  if state then
    local enqueued, completed, bytes, in_hand, others = struct.unpack(STATE, state)
    local elsewhere = others == 1 and at_rest(topic, first, last) or NONE
    for i = first, last do
      local beside, task = open[tasks[2 * i - 1]], tasks[2 * i]
      if known[i] or ended[i] or elsewhere[i] or not beside or taken >= room then break end
      taken = taken + 1
      enqueued, bytes = enqueued + 1, bytes + #task - beside
      straight[2 * taken - 1] = fields[i]
      straight[2 * taken] = pack(">I6I4I6", fence + taken, NORMAL, enqueued) .. moment .. task
    end
    local got = taken - before
    if got > 0 then
      local names = add_names(names_in(state), fields, first, got)
      put(folded, topic, pack(STATE, enqueued, completed, bytes, in_hand + got, others) .. names)
    end
  end
  counts[k] = taken - before
end
if taken > 0 then
  call("HSET", STRAIGHT, unpack(straight))
  call("HSET", FOLDED, FENCE, pack(">I6", fence + taken), unpack(folded))
end
return { "straight", fence + 1, taken < n and table.concat(counts, " ") or "" }
