/**
 * Generated code stops at 100 messages within each other, and a list or object
 * in args or in a result nests up to three of them. What may carry such values
 * is decoded here, by a limit that fits the one on their depth.
 */
import { BinaryReader, getTextEncoding } from "@bufbuild/protobuf/wire";
import { LIMITS } from "../domain/limits.js";

interface Decoder<Message> {
  decode(input: BinaryReader): Message;
}

/** One level deeper than is allowed is still decoded: the checks of values then name the field. */
const EXTRA_DEPTH = 3 * (LIMITS.argsDepthMax + 1);

export function decodeDeep<Message>(type: Decoder<Message>, bytes: Uint8Array): Message {
  return decode(type, new BinaryReader(bytes));
}

/** Throws on text that is not UTF-8, as protobuf demands, where generated code mends it in silence. */
export function decodeStrictly<Message>(type: Decoder<Message>, bytes: Uint8Array): Message {
  return decode(type, new BinaryReader(bytes, (text) => getTextEncoding().decodeUtf8(text, true)));
}

function decode<Message>(type: Decoder<Message>, reader: BinaryReader): Message {
  Object.assign(reader, { __tsProtoDecodeDepth: -EXTRA_DEPTH });
  return type.decode(reader);
}
