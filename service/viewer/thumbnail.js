/** The bundled recording, played small on the first screen: events alone, decoded here. */

import { getBytes } from "./api.js";
import { DatRecording } from "./dat.js";
import { PALETTES } from "./look.js";

const FADE_MS = 100;
const LONGEST_STEP_MS = 100;
/** Shown where the user wants nothing to move. */
const STILL_MS = 1500;

export class Thumbnail {
  #canvas;
  #image = /** @type {?ImageData} */ (null);
  #recording = /** @type {?DatRecording} */ (null);
  #offset = 0;
  #playedMs = 0;
  #lastMs = 0;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
  }

  async start() {
    this.#recording = new DatRecording(await getBytes("/viewer/demo.dat"));
    const { width, height } = this.#recording;
    Object.assign(this.#canvas, { width, height });
    this.#image = new ImageData(width, height);
    this.#fade(0);
    this.#canvas.hidden = false;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) this.#advance(STILL_MS);
    else requestAnimationFrame((nowMs) => this.#tick(nowMs));
  }

  /** @param {number} nowMs */
  #tick(nowMs) {
    const elapsedMs = Math.min(LONGEST_STEP_MS, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    if (this.#canvas.offsetParent) this.#advance(elapsedMs);
    requestAnimationFrame((laterMs) => this.#tick(laterMs));
  }

  /** @param {number} ms of the recording */
  #advance(ms) {
    const recording = /** @type {DatRecording} */ (this.#recording);
    this.#fade(Math.exp(-ms / FADE_MS));
    this.#playedMs += ms;
    const end = recording.offsetAfter(this.#offset, recording.firstTimeUs + this.#playedMs * 1000);
    for (const { x, y, on } of recording.events(this.#offset, end)) this.#light(x, y, on);
    this.#offset = end;
    if (recording.endsAt(end)) this.#offset = this.#playedMs = 0;
    this.#canvas.getContext("2d")?.putImageData(/** @type {ImageData} */ (this.#image), 0, 0);
  }

  /** @param {number} left of each pixel's light, 0 to 1 */
  #fade(left) {
    const { ground } = PALETTES.dark;
    const { data } = /** @type {ImageData} */ (this.#image);
    for (let i = 0; i < data.length; i++) data[i] = i % 4 === 3 ? 255 : ground[i % 4] + left * (data[i] - ground[i % 4]);
  }

  /** @param {number} x @param {number} y @param {boolean} on */
  #light(x, y, on) {
    const { data, width } = /** @type {ImageData} */ (this.#image);
    data.set(on ? PALETTES.dark.on : PALETTES.dark.off, 4 * (y * width + x));
  }
}
