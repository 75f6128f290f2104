-- How values are laid out. A task is its place (10 bytes: priority and sequence
-- number, big-endian, so that they sort) and its record. A lease is the token as
-- a number (6 bytes), the place, the moment (6), the record's size (4), and the
-- fields of the record's first line after the enqueue moment, often none; at last,
-- of some, line ends.
local PLACE = 10
-- Priority 0 in a place.
local NORMAL = 2147483648
local TOKEN = 6
local LEASE = 26
-- A record's moment has at least so many characters.
local MOMENT = 8
local LINE_END = 10
-- Redis keeps a hash of up to 512 short values as a list, and searches it from the
-- beginning. A value of more than 64 bytes makes it a table, for as long as it lives.
local FILLER = string.rep("\n", 65)

-- The fields of a task's record, "" when all are at their defaults.
local function fields_of(value)
  if string.byte(value, PLACE + MOMENT + 1) == LINE_END then return "" end
  return string.match(value, "^%w+(\t[^\n]*)", PLACE + 1) or ""
end

-- The external id, "" for none, and the retention in ms, 0 for none.
local function parse_fields(fields)
  if fields == "" then return "", 0 end
  local head, external_id = string.match(fields, "^(.-)\tx=(.*)$")
  local retention_ms = string.match(head or fields, "\tk=(%d+)")
  return external_id or "", tonumber(retention_ms or 0)
end

-- A token as callers know it.
local function token_of(lease) return string.format("%012x", struct.unpack(">I6", lease)) end

local function bytes_of(lease) return (struct.unpack(">I4", lease, 23)) end

local function lease_of(lease)
  return { place = string.sub(lease, 7, 16), bytes = bytes_of(lease), fields = string.match(lease, "^[^\n]*", LEASE + 1) }
end

local function has_fields(lease) return string.byte(lease, LEASE + 1) == 9 end

-- One lease of so many is made long: see FILLER. Of few at a time most are short.
local FILL_EVERY = 32

local function filled(lease, token) return token % FILL_EVERY == 0 and lease .. FILLER or lease end

local function new_lease(token, place, leased_at_ms, bytes, fields)
  return filled(struct.pack(">I6c10I6I4", token, place, leased_at_ms, bytes) .. fields, token)
end

-- Numbers of tokens never fall behind the time: see fenceAt in domain/ids.ts.
local function fence_at(leased_at_ms, fence) return math.max(fence, (leased_at_ms - 1767225600000) * 128) end
