-- use: ended
-- How tasks of this topic are named among those of all topics of its scope, to tell that they ended, or ask.
local function field_of(id) return id .. "\n" .. topic end

local function fields_of_ids(ids)
  local fields = {}
  for i = 1, #ids do fields[i] = field_of(ids[i]) end
  return fields
end
