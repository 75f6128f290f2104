-- use: record
-- A topic is *folded* while none of its tasks waits, and all that are leased went
-- straight from the call that brought them to a worker. These are in keys that all
-- topics of the scope have in common, so that one command serves many topics:
--   STRAIGHT  id, newline, topic -> lease, session (a byte of its length before it), record
--   FOLDED    topic -> its state: three counters, in place of those in `stats`, which
--             stand still meanwhile; how many of its tasks are in STRAIGHT; 1 if it has
--             tasks elsewhere, which are at rest; and which are in STRAIGHT
--             nothing -> the highest token of what went straight
-- Only the verbs that serve many topics know that, and `describe`. Whatever else is
-- done to a topic unfolds it first.
local STATE = ">I6I6I6I2B"
local STATE_BYTES = 21
local FENCE = ""
-- So many are looked through, to unfold a topic with many of them, in two milliseconds.
local STRAIGHT_MAX = 4096
-- Behind the numbers, a state names what went straight since the topic last had
-- nothing there, separated by newlines: then nothing has to be looked through. MANY when that would be long.
local MANY = "*"
local NAMES_BYTES_MAX = 160

local function names_in(state)
  return #state > STATE_BYTES and string.sub(state, STATE_BYTES + 1) or ""
end

-- What a state names, with the `n` fields from the first one on.
local function add_names(names, fields, first, n)
  if names == MANY or #names + n * #fields[first] > NAMES_BYTES_MAX then return MANY end
  if n == 1 and names == "" then return fields[first] end
  return (names == "" and "" or names .. "\n") .. table.concat(fields, "\n", first, first + n - 1)
end

local function session_of(value)
  return string.sub(value, LEASE + 2, LEASE + 1 + string.byte(value, LEASE + 1))
end
