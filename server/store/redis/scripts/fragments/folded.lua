-- use: record
-- A topic is *folded* while none of its tasks waits, and all that are leased are
-- plain ones that went straight from the call that brought them to a worker. These
-- are in one hash then, where one command puts them and one removes them:
--   id           lease, session (a byte of its length before it), record
--   " session"   its epoch, for each one in `holders`
--   ""           five counters, in place of those in `stats`; how many tasks are here;
--                1 if there are tasks elsewhere, which are at rest; the window from which
--                on it is known what ended; and the highest rank of the ids that did
-- Only the short ways know that. Whatever else is done to a topic unfolds it first.
local STATE = ""
local STATE_FORMAT = ">I6I6I6I6I6I4BI6I6I6"
-- So many are unfolded in a few milliseconds.
local FOLDED_MAX = 2048
local HOLDERS_MAX = 64

-- Ids compare by how they begin, as two numbers: texts compare by the locale of the machine.
local function rank_of(id)
  if #id < 12 then id = id .. string.rep("\0", 12 - #id) end
  return struct.unpack(">I6I6", id)
end

local function is_higher(high, low, than_high, than_low)
  return high > than_high or high == than_high and low > than_low
end

local function higher(high, low, its_high, its_low)
  if is_higher(its_high, its_low, high, low) then return its_high, its_low end
  return high, low
end

local function session_of(value)
  return string.sub(value, LEASE + 2, LEASE + 1 + string.byte(value, LEASE + 1))
end
