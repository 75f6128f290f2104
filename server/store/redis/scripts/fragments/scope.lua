-- Names for what a script is given that serves any topics of a scope: KEYS in the
-- order of keys.ts, and the first two ARGV. The keys of the topic that was entered
-- last have the names that they have in scripts of a topic: script.ts spells them.
local call = redis.call
local STRAIGHT, FOLDED, TAKERS, WINDOWS, ENDED, TOPIC = unpack(KEYS)
local now_ms, window_ms = ARGV[1], tonumber(ARGV[2])
local PREFIX

local function enter(topic) PREFIX = string.format(TOPIC, topic) end
