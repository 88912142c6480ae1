/** Which sums of events are shown darkest and brightest, from how they are spread over the pixels. */

/** Every so many pixels are looked at: enough, and odd, so that no column is looked at alone. */
const STRIDE = 7;
const BINS = 1024;
const BINS_PER_EVENT = 16;
/** Of the pixels with events, this share is shown below full brightness. */
const BELOW_BRIGHT = 0.8;
/** One event alone is shown fully bright in a scene without denser places. */
const LEAST_BRIGHT = 1;
/** A scene whose pixels all have events is shown from this share of the median on. */
const DARK_SHARE = 0.75;

/** @param {Float32Array} on @param {Float32Array} off @returns {{dark: number, bright: number}} dark < bright */
export function exposureOf(on, off) {
  const bins = new Uint32Array(BINS);
  let looked = 0;
  for (let i = 0; i < on.length; i += STRIDE) {
    bins[Math.min(BINS - 1, ((on[i] + off[i]) * BINS_PER_EVENT) | 0)] += 1;
    looked += 1;
  }
  const dark = DARK_SHARE * valueBelow(bins, 0, looked / 2);
  const bright = valueBelow(bins, 1, BELOW_BRIGHT * (looked - bins[0]));
  return { dark, bright: Math.max(dark + LEAST_BRIGHT, bright) };
}

/** The value that `count` of the pixels from a bin on do not reach. @param {Uint32Array} bins @param {number} first @param {number} count */
function valueBelow(bins, first, count) {
  let [bin, passed] = [first, 0];
  while (bin < BINS - 1 && passed + bins[bin] < count) passed += bins[bin++];
  return bin / BINS_PER_EVENT;
}
