/** Round ends of scales. */

/** @param {number} value @returns {number} 1, 2, 4, 6 or 10 times a power of ten, at least `value` */
export function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 4, 6].find((nice) => nice * power >= value) ?? 10);
}
