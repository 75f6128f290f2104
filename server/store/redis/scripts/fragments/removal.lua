-- use: basics
-- use: records
-- Forgets tasks that are in none of the queues any more: their records and all
-- that is kept beside them. `xids` is members of the index by external id.
local function forget(ids, bytes, xids)
  if #ids == 0 then return end
  drop_records(ids)
  if any_notes() then
    call("HDEL", META, unpack(ids))
    call("HDEL", RESULTS, unpack(ids))
  end
  if #xids > 0 then call("ZREM", XIDS, unpack(xids)) end
  count("bytes", -bytes)
end
