-- use: basics
-- use: meta
-- Tasks that move on are no longer where their latest failure put them: a
-- report of that failure which comes again is no longer recognised.
local function unmark(ids)
  local metas, changed = side(META, ids) or {}, {}
  for i = 1, #metas do
    local meta = parse_meta(metas[i])
    if meta.mark ~= "" then
      meta.mark = ""
      put(changed, ids[i], format_meta(meta))
    end
  end
  if #changed > 0 then call("HSET", META, unpack(changed)) end
end
