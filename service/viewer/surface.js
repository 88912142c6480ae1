/**
 * Events that fade: each pixel in the colour of its last event, exp(-age / TAU_US) strong.
 *
 * Made anew from the slices that can still be seen, so that any moment looks the same however it is reached.
 */

import { NONE, OFF, ON } from "./pictures.js";

/** Time after which an event is 1/e as bright. */
const TAU_US = 100_000;
/** Slices older than this are too faint to be seen. */
export const SEEN_US = 4 * TAU_US;

const GROUND = [13, 17, 23];
const INKS = { [OFF]: [90, 150, 240], [ON]: [214, 232, 250] };
const BOTH_INK = [255, 255, 255];

export class Surface {
  canvas = document.createElement("canvas");
  #image = /** @type {?ImageData} */ (null);

  /**
   * @param {{picture: import("./pictures.js").Picture, ageUs: number}[]} layers oldest first, of one size
   */
  paint(layers) {
    const { width, height } = layers[layers.length - 1].picture;
    const image = this.#sized(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    pixels.fill(packed(GROUND));
    for (const { picture, ageUs } of layers) {
      if (picture.width !== width || picture.height !== height) continue;
      draw(pixels, picture.codes, Math.exp(-ageUs / TAU_US));
    }
    this.canvas.getContext("2d")?.putImageData(image, 0, 0);
  }

  /** @param {number} width @param {number} height */
  #sized(width, height) {
    if (this.#image?.width !== width || this.#image?.height !== height) {
      Object.assign(this.canvas, { width, height });
      this.#image = new ImageData(width, height);
    }
    return this.#image;
  }
}

/** @param {Uint32Array} pixels @param {Uint8Array} codes @param {number} strength 0 to 1 */
function draw(pixels, codes, strength) {
  const inks = [OFF, ON, 3].map((code) => packed(mixed(INKS[code] ?? BOTH_INK, strength)));
  for (let i = 0; i < codes.length; i++) {
    if (codes[i] !== NONE) pixels[i] = inks[codes[i] - 1];
  }
}

/** @param {number[]} ink @param {number} strength */
const mixed = (ink, strength) => ink.map((value, i) => GROUND[i] + strength * (value - GROUND[i]));

/** @param {number[]} rgb @returns {number} as a little-endian RGBA pixel */
const packed = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | Math.round(red)) >>> 0;
