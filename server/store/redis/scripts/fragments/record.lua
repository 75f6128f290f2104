-- How values are laid out. A task is its place (10 bytes: priority and sequence
-- number, big-endian, so that they sort) and its record. A lease is the token as
-- a number (6 bytes), the place, the moment (6), the record's size (4), and the
-- fields of the record's first line after the enqueue moment, often none.
local PLACE = 10
local TOKEN = 6
local LEASE = 26

-- The fields of a task's record, "" when all are at their defaults.
local function fields_of(value)
  if string.find(value, "^%w+\n", PLACE + 1) then return "" end
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
  return { place = string.sub(lease, 7, 16), bytes = bytes_of(lease), fields = string.sub(lease, LEASE + 1) }
end
