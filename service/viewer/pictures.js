/** Pictures of slices, decoded to counts of events a pixel, the last few of them kept. */

/** Enough for the longest fade, and for a few steps back. */
const KEPT = 40;

/** @typedef {{width: number, height: number, counts: Uint8Array}} Picture OFF events plus 16 times ON events */

export class Pictures {
  #decoded = /** @type {Map<object, ?Picture>} */ (new Map());
  #canvas = document.createElement("canvas");
  #onDecoded;

  /** @param {() => void} onDecoded called when one more can be shown */
  constructor(onDecoded) {
    this.#onDecoded = onDecoded;
  }

  /** @param {import("./api.js").Slice} slice @returns {?Picture} null while it is being decoded */
  get(slice) {
    const known = this.#decoded.get(slice);
    if (known !== undefined) return known;
    this.#decoded.set(slice, null);
    const [oldest] = this.#decoded.keys();
    if (this.#decoded.size > KEPT) this.#decoded.delete(oldest);
    this.#decode(slice);
    return null;
  }

  /** @param {import("./api.js").Slice} slice */
  async #decode(slice) {
    const image = new Image();
    image.src = `data:image/png;base64,${slice.png}`;
    await image.decode();
    const { naturalWidth: width, naturalHeight: height } = image;
    Object.assign(this.#canvas, { width, height });
    const pen = this.#canvas.getContext("2d", { willReadFrequently: true });
    if (!pen || !this.#decoded.has(slice)) return;
    pen.drawImage(image, 0, 0);
    this.#decoded.set(slice, { width, height, counts: countsOf(pen.getImageData(0, 0, width, height).data) });
    this.#onDecoded();
  }
}

/** The low four bits of green are the OFF events, those of blue the ON events. @param {Uint8ClampedArray} rgba */
function countsOf(rgba) {
  const pixels = new Uint32Array(rgba.buffer);
  const counts = new Uint8Array(pixels.length);
  for (let i = 0; i < counts.length; i++) counts[i] = ((pixels[i] >> 8) & 15) | ((pixels[i] >> 12) & 240);
  return counts;
}
