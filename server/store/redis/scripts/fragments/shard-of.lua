-- What would be a large hash by id is in many small ones, its *shards*. Which one
-- follows from two characters of the id. In ids that begin with the moment these
-- change every 216 ms: what comes at one time, and goes at one time, is in a hash so
-- small that the processor has it at hand.
local SHARDS = 216

local function digit(code) return (code < 58 and code - 48 or code - 87) % 36 end

local function shard_of(id)
  local high, low = string.byte(id, 6, 7)
  return low and 6 * digit(high) + math.floor(digit(low) / 6) or 0
end
