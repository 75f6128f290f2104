-- list: a page of the tasks in one state, in the order of that state's queue.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 state  5 limit  6 after_score  7 after_member
--       where the page before ended: score and member; of leased tasks session and id; "" at first
-- Reply {"page", rows, next}
--       next is {score, member} of the last row, or {} on the last page
-- use: topic
-- use: locate
-- use: rows

local state, limit, after_score, after_member = ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]

-- The rank of the first member behind (score, member): a search by halves among
-- those of the same score, because the member itself may be gone.
local function rank_after(queue)
  local low = call("ZCOUNT", queue, "-inf", "(" .. after_score)
  local high = call("ZCOUNT", queue, "-inf", after_score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if call("ZRANGE", queue, middle, middle)[1] > after_member then high = middle else low = middle + 1 end
  end
  return low
end

local function queue_page(queue)
  local first = after_member == "" and 0 or rank_after(queue)
  local scored = call("ZRANGE", queue, first, first + limit, "WITHSCORES")
  local ids, last = {}, {}
  for i = 1, math.min(#scored / 2, limit) do ids[i] = string.sub(scored[2 * i - 1], PLACE + 1) end
  if #scored / 2 > limit then last = { scored[2 * limit], scored[2 * limit - 1] } end
  return locate(ids, true), last
end

local function leased_page()
  local sessions, ids, of = call("HKEYS", HOLDERS), {}, {}
  table.sort(sessions)
  for _, session in ipairs(sessions) do
    if session >= after_score and #ids <= limit then
      local its = call("HKEYS", LEASES .. session)
      table.sort(its)
      for _, id in ipairs(its) do
        if (session > after_score or id > after_member) and #ids <= limit then
          ids[#ids + 1], of[#of + 1] = id, session
        end
      end
    end
  end
  local last = {}
  if #ids > limit then
    ids[limit + 1] = nil
    last = { of[limit], ids[limit] }
  end
  local tasks = read_tasks(ids, true)
  for i, task in ipairs(tasks) do
    task.state, task.session, task.lease = "leased", of[i], call("HGET", LEASES .. of[i], ids[i])
  end
  return tasks, last
end

local tasks, last
if state == "leased" then tasks, last = leased_page() else tasks, last = queue_page(QUEUES[state]) end
return { "page", rows_of(tasks), last }
