import { expect, test } from "vitest";
import { unpackReply } from "../../../../server/store/redis/packed-reply.js";

const bytes = (...parts: (number | string | Buffer)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.from([part]) : Buffer.from(part))));
const hex = (text: string) => Buffer.from(text, "hex");

test.each([
  { reply: 0, packed: "00" },
  { reply: 127, packed: "7f" },
  { reply: 255, packed: "ccff" },
  { reply: 65_535, packed: "cdffff" },
  { reply: 2 ** 32 - 1, packed: "ceffffffff" },
  { reply: 2 ** 48 - 1, packed: "cf0000ffffffffffff" },
  { reply: -1, packed: "ff" },
  { reply: -128, packed: "d080" },
  { reply: -300, packed: "d1fed4" },
  { reply: -70_000, packed: "d2fffeee90" },
  { reply: -(2 ** 40), packed: "d3ffffff0000000000" },
  { reply: 1, packed: "cb3ff8000000000000" },
  { reply: null, packed: "c2" },
])("$packed is $reply", ({ reply, packed }) => {
  expect(unpackReply(hex(packed))).toBe(reply);
});

test("short strings of plain ASCII are text, and all others bytes", () => {
  expect(unpackReply(hex("a0"))).toBe("");
  expect(unpackReply(bytes(0xa2, "ok"))).toBe("ok");
  expect(unpackReply(bytes(0xd9, 32, "x".repeat(32)))).toBe("x".repeat(32));
  expect(unpackReply(bytes(0xd9, 33, "x".repeat(33)))).toEqual(Buffer.from("x".repeat(33)));
  expect(unpackReply(bytes(0xa2, Buffer.from([0, 0x80])))).toEqual(Buffer.from([0, 0x80]));
  expect(unpackReply(bytes(0xda, 1, 0, "x".repeat(256)))).toEqual(Buffer.alloc(256, "x"));
  expect(unpackReply(bytes(0xdb, 0, 1, 0, 0, "x".repeat(65_536)))).toEqual(Buffer.alloc(65_536, "x"));
});

test("lists hold whatever there is, and lists", () => {
  expect(unpackReply(bytes(0x93, 1, 0xa1, "a", 0x92, 0x90, 0xc2))).toEqual([1, "a", [[], null]]);
  expect(unpackReply(bytes(0xdc, 0, 17, Buffer.alloc(17, 5)))).toEqual(Array(17).fill(5));
});

test("what scripts do not reply with is refused", () => {
  expect(() => unpackReply(hex("81a16101"))).toThrow("msgpack's type 129");
});
