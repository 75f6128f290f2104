/**
 * A character's code, for loops over texts of all kinds. `text.charCodeAt` is
 * looked up anew at each character once V8 has seen texts of more than four kinds
 * in one place (whole, sliced, joined, interned…), which was a tenth of a broker's
 * time. So is `text.length`: take it before the loop.
 */
const method = String.prototype.charCodeAt;

export function charCodeAt(text: string, index: number): number {
  return method.call(text, index);
}
