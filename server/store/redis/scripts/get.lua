-- get: tasks by id, with all there is to know of them.
--
-- KEYS  the topic's
-- ARGV  1 now_ms  2 channel  3 topic  4.. ids
-- Reply {"tasks", rows}
-- use: topic
-- use: unfold
-- use: locate
-- use: rows

unfold()
return { "tasks", rows_of(locate({ unpack(ARGV, 4) }, true)) }
