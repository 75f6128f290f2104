-- use: basics
-- use: record
-- The input queue has two parts. What arrives in order of place is appended to
-- segments: lists, one for each SPAN sequence numbers, so that a place tells where
-- its task would be; `segments` names those that hold something. What has another
-- priority than 0, or comes back to its old place, is sorted into `ready`.
local SPAN = 1000

-- The segment where a task with that place would be; nil when only `ready` can have it.
local function segment_of(place)
  local priority, sequence = struct.unpack(">I4I6", place)
  return priority == NORMAL and math.floor(sequence / SPAN) or nil
end

-- Tells of tasks, by their `segment`, which of them are in one.
local function find_arrived(tasks)
  for _, task in ipairs(tasks) do
    local number = segment_of(task.place)
    if number and call("LPOS", SEGMENT .. number, task.place .. task.id) then task.segment = number end
  end
end

-- Takes tasks out of the segments they are in.
local function leave_segments(tasks)
  local gone, touched = 0, {}
  for _, task in ipairs(tasks) do
    gone = gone + call("LREM", SEGMENT .. task.segment, 1, task.place .. task.id)
    touched[task.segment] = true
  end
  for number in pairs(touched) do
    if call("EXISTS", SEGMENT .. number) == 0 then call("ZREM", SEGMENTS, number) end
  end
  count("segmented", -gone)
end
