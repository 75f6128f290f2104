-- What is kept of a task that ever failed or lost a lease, tab-separated:
-- failures, lost leases, mark, reason of death, error. The mark is the outcome
-- (r retried, b buried) and token of the latest failure, until the task moves
-- on; by it a repeated report is recognised.
local function parse_meta(text)
  if not text then return { failures = 0, lost = 0, mark = "", reason = "", error = "" } end
  local failures, lost, mark, reason, error = string.match(text, "^(%d+)\t(%d+)\t([^\t]*)\t([^\t]*)\t(.*)$")
  return { failures = tonumber(failures), lost = tonumber(lost), mark = mark, reason = reason, error = error }
end

local function format_meta(meta)
  return string.format("%d\t%d\t%s\t%s\t", meta.failures, meta.lost, meta.mark, meta.reason) .. meta.error
end
