-- list: a page of the tasks in one state, in the order of that state's queue.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4 state  5 limit  6 after_score  7 after_member
--       where the page before ended: score and member; of leased tasks session and id; "" at first
-- Reply {"page", rows, next}
--       next is {score, member} of the last row, or {} on the last page
-- use: topic
-- use: unfold
-- use: locate
-- use: rows
-- use: after

unfold()
local state, limit, after_score, after_member = ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]

local function ready_page()
  local first, last, ids = rank_after(READY, after_score, after_member), {}, {}
  local rank, skip = segment_after(after_member)
  local page = merge(call("ZRANGE", READY, first, first + limit), arrivals(limit + 1, rank, skip), limit + 1)
  local entries = page.entries
  if #entries > limit or page.more then last = { "0", entries[math.min(limit, #entries)] } end
  for i = 1, math.min(limit, #entries) do ids[i] = string.sub(entries[i], PLACE + 1) end
  local tasks = read_tasks(ids, true)
  for i, task in ipairs(tasks) do
    if task.place and task.place .. task.id == entries[i] then task.state = "ready" end
  end
  return tasks, last
end

local function queue_page(queue)
  local first = rank_after(queue, after_score, after_member)
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

local PAGES = { ready = ready_page, leased = leased_page }
local tasks, last = (PAGES[state] or queue_page)(QUEUES[state])
return { "page", rows_of(tasks), last }
