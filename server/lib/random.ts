/** The one source of chance in the broker; whoever needs it is given it, and tests give their own. In [0, 1). */
export function random(): number {
  return Math.random();
}
