-- The part of a session that changes, tab-separated: epoch, attached (1 or 0),
-- expiring (1 or 0), broker, address, undelivered tokens as JSON.
local call = redis.call

-- Sessions must live on in a store without memory, which refuses a script whose
-- first write may add something: this one adds nothing.
call("HDEL", KEYS[1], "")

local function parse_state(text)
  local epoch, attached, expiring, broker, address, undelivered =
    string.match(text, "^(%d+)\t(%d)\t(%d)\t([^\t]*)\t([^\t]*)\t(.*)$")
  return {
    epoch = tonumber(epoch), attached = attached, expiring = expiring,
    broker = broker, address = address, undelivered = undelivered,
  }
end

local function format_state(state)
  return table.concat(
    { string.format("%d", state.epoch), state.attached, state.expiring, state.broker, state.address, state.undelivered }, "\t")
end
