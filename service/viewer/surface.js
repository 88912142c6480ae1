/**
 * Events that fade, toned by their counts.
 *
 * Each pixel sums its events, of which 1/e² are left after the look's fade. Their brightness is the square root of
 * the sum, between a dark and a bright end that follow the scene: the end of a dense scene lies higher, so that its
 * structure is seen rather than a white sheet. All sums fade alike, so between two slices the whole picture does.
 */

import { exposureOf } from "./exposure.js";

/** Brightness is the sum to the power of one half, so sums fade twice as fast. */
const GAMMA = 0.5;
/** A slice older than this many times its fade is too faint to be seen. */
export const SEEN_FADES = 4;

const SHADES = 64;
const MIXES = 8;

/** @typedef {{picture: import("./pictures.js").Picture, ageUs: number}} Layer */

export class Surface {
  canvas = document.createElement("canvas");
  #image = /** @type {?ImageData} */ (null);
  #on = new Float32Array(0);
  #off = new Float32Array(0);
  #newest = /** @type {?import("./pictures.js").Picture} */ (null);
  #how = "";

  /**
   * @param {Layer[]} layers oldest first, of one size @param {import("./look.js").Look} look
   * @param {boolean} whole whether no layer is missing
   * @returns {number} how strong to draw the canvas over the ground, 0 to 1
   */
  paint(layers, look, whole) {
    const { picture, ageUs } = layers[layers.length - 1];
    const how = JSON.stringify([look.palette, look.fadeUs, look.on, look.off, whole]);
    const before = layers[layers.length - 2];
    const sameSize = this.#image?.width === picture.width && this.#image.height === picture.height;
    const kept = whole && sameSize && how === this.#how;
    if (!kept || picture !== this.#newest) {
      if (kept && before?.picture === this.#newest) this.#add(picture, before.ageUs - ageUs, look);
      else this.#sum(layers, look);
      this.#tone(look);
      this.#newest = picture;
      this.#how = how;
    }
    return Math.exp(-ageUs / look.fadeUs);
  }

  /** @param {Layer[]} layers @param {import("./look.js").Look} look */
  #sum(layers, look) {
    const { width, height } = layers[layers.length - 1].picture;
    if (this.#image?.width !== width || this.#image.height !== height) {
      Object.assign(this.canvas, { width, height });
      this.#image = new ImageData(width, height);
      this.#on = new Float32Array(width * height);
      this.#off = new Float32Array(width * height);
    }
    this.#on.fill(0);
    this.#off.fill(0);
    let beforeUs = layers[0].ageUs;
    for (const { picture, ageUs } of layers) {
      if (picture.width !== width || picture.height !== height) continue;
      this.#add(picture, beforeUs - ageUs, look);
      beforeUs = ageUs;
    }
  }

  /** @param {import("./pictures.js").Picture} picture @param {number} laterUs @param {import("./look.js").Look} look */
  #add({ counts }, laterUs, look) {
    const left = Math.exp(-laterUs / (GAMMA * look.fadeUs));
    const [on, off] = [this.#on, this.#off];
    const [onWeight, offWeight] = [Number(look.on), Number(look.off)];
    for (let i = 0; i < counts.length; i++) {
      const count = counts[i];
      on[i] = on[i] * left + onWeight * (count >> 4);
      off[i] = off[i] * left + offWeight * (count & 15);
    }
  }

  /** @param {import("./look.js").Look} look */
  #tone({ palette }) {
    const image = /** @type {ImageData} */ (this.#image);
    const pixels = new Uint32Array(image.data.buffer);
    const inks = inksOf(palette);
    const { dark, bright } = exposureOf(this.#on, this.#off);
    const [on, off, scale] = [this.#on, this.#off, 1 / (bright - dark)];
    for (let i = 0; i < pixels.length; i++) {
      const sum = on[i] + off[i];
      if (sum <= dark || sum < 1e-3) {
        pixels[i] = inks[0];
        continue;
      }
      const shade = Math.min(SHADES - 1, Math.sqrt((sum - dark) * scale) * SHADES) | 0;
      const mix = ((on[i] / sum) * (MIXES - 1) + 0.5) | 0;
      pixels[i] = inks[shade * MIXES + mix];
    }
    this.canvas.getContext("2d")?.putImageData(image, 0, 0);
  }
}

/** Colours by shade, then by the share of ON events, as little-endian RGBA. @param {import("./look.js").Palette} palette */
function inksOf({ ground, off, on }) {
  const inks = new Uint32Array(SHADES * MIXES);
  for (let i = 0; i < inks.length; i++) {
    const [strength, share] = [Math.floor(i / MIXES) / (SHADES - 1), (i % MIXES) / (MIXES - 1)];
    const ink = ground.map((value, k) => value + strength * (off[k] + share * (on[k] - off[k]) - value));
    inks[i] = ((255 << 24) | (ink[2] << 16) | (ink[1] << 8) | ink[0]) >>> 0;
  }
  return inks;
}
