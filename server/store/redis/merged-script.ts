/**
 * A script that carries out many calls of another one, each with its own KEYS
 * and ARGV, and the bytes in which the calls travel. Made from the parts of the
 * script as they are: whoever changes one changes both.
 *
 * What the fragments define is defined once for all calls: to make its two dozen
 * functions anew, and the names of all keys, is a third of what a call of one
 * task costs Redis. What a fragment looks up is looked up by each call.
 */
import { list } from "./codec.js";
import { unpackReply } from "./packed-reply.js";
import { writeText } from "./packing.js";
import { type Argument, type Reply, type Source, sourceOf } from "./script.js";
import { scriptParts, spellScopeKeys, spellTopicKeys } from "./script-text.js";

/** A line of a fragment that each call carries out: constants are in capitals, and functions are no values. */
const LOOKUP = /^local ([a-z_]+) = (.+)$/gm;

/** Replies of more parts bring tasks. Those of all verbs that bring none have no more. */
const PACKED_PARTS_MAX = 8;
/** Replies of more bytes are not worth a copy. */
const PACKED_BYTES_MAX = 1024;

/**
 * Its KEYS are one of the scope, `straight`, and one of each call's topic, `tasks`,
 * of which it makes the others; its ARGV what the calls are given, as `packCalls`
 * packs it. It replies with what each call replied, a list, or with the text of its
 * error: a call that fails fails alone. `repliesOf` reads it.
 */
export function mergedScript(name: string): Source {
  const { own, fragments } = scriptParts(name);
  const lookups: string[] = [];
  const definitions = fragments
    .filter((fragment) => fragment.name !== "topic")
    .map(({ text }) => text)
    .join("\n")
    .replace(LOOKUP, (_, variable: string, value: string) => {
      lookups.push(`  ${variable} = ${value}`);
      return `local ${variable}`;
    });
  return sourceOf(`local GIVEN, CALLS = KEYS, ARGV[1]
local call = redis.call
local SCOPE = string.sub(GIVEN[1], 1, -9)
local PREFIX, ARGV, now_ms, channel, topic
local formats, at = {}, 1

local function read_call(i)
  PREFIX = string.sub(GIVEN[i + 1], 1, -6)
  local n
  n, at = struct.unpack(">I2", CALLS, at)
  formats[n] = formats[n] or ">" .. string.rep("I4c0", n)
  ARGV = { struct.unpack(formats[n], CALLS, at) }
  at, ARGV[n + 1] = ARGV[n + 1], nil
  now_ms, channel, topic = ARGV[1], ARGV[2], ARGV[3]
end

local function script()
${spellKeys(definitions)}
local function carry_out()
${spellKeys(lookups.join("\n"))}
${spellKeys(own)}
end

local function is_short(reply)
  if #reply > ${PACKED_PARTS_MAX} then return false end
  local bytes = 0
  for i = 1, #reply do bytes = bytes + (type(reply[i]) == "string" and #reply[i] or 0) end
  return bytes <= ${PACKED_BYTES_MAX}
end

local replies, packed = {}, true
for i = 1, #GIVEN - 1 do
  read_call(i)
  local done, reply = pcall(carry_out)
  replies[i] = done and reply or type(reply) == "table" and reply.err or tostring(reply)
  packed = packed and (not done or is_short(reply))
end
return packed and cmsgpack.pack(replies) or replies
end
return script()
`);
}

/** What each call replied. */
export function repliesOf(reply: Reply): readonly Reply[] {
  return list(Buffer.isBuffer(reply) ? unpackReply(reply) : reply);
}

function spellKeys(text: string): string {
  return spellScopeKeys(spellTopicKeys(text));
}

/** What a number is written with takes no more. */
const NUMBER_BYTES_MAX = 25;

/** Of each call: 2 bytes of how many arguments; 4 of length and each argument. */
export function packCalls(calls: readonly { readonly args: readonly Argument[] }[]): Buffer {
  const packed = Buffer.allocUnsafe(calls.reduce((sum, { args }) => sum + 2 + bytesMax(args), 0));
  let end = 0;
  for (const { args } of calls) {
    end = packed.writeUInt16BE(args.length, end);
    for (const arg of args) {
      const from = end + 4;
      if (typeof arg === "object") {
        packed.set(arg, from);
        end = from + arg.length;
      } else {
        end = writeText(packed, typeof arg === "number" ? String(arg) : arg, from);
      }
      packed.writeUInt32BE(end - from, from - 4);
    }
  }
  return packed.subarray(0, end);
}

function bytesMax(args: readonly Argument[]): number {
  let bytes = 4 * args.length;
  for (const arg of args) {
    if (typeof arg === "number") bytes += NUMBER_BYTES_MAX;
    else bytes += typeof arg === "string" ? 3 * arg.length : arg.length;
  }
  return bytes;
}
