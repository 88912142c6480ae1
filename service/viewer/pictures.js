/** Pictures of slices, decoded to one code a pixel, the last few of them kept. */

export const [NONE, OFF, ON, BOTH] = [0, 1, 2, 3];

/** Enough for a fade, and for a few steps back. */
const KEPT = 24;
/** Above these red values of the service's four colours a pixel is OFF, ON, or both. */
const RED = [35, 130, 232];

/** @typedef {{width: number, height: number, codes: Uint8Array}} Picture */

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
    this.#decoded.set(slice, { width, height, codes: codesOf(pen.getImageData(0, 0, width, height).data) });
    this.#onDecoded();
  }
}

/** @param {Uint8ClampedArray} rgba */
function codesOf(rgba) {
  const codes = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < codes.length; i++) {
    const red = rgba[4 * i];
    codes[i] = red < RED[0] ? NONE : red < RED[1] ? OFF : red < RED[2] ? ON : BOTH;
  }
  return codes;
}
