/** Firing rate by layer, in the order of the network from top to bottom, over the last windows. */

import { colour, freshSheet, redrawOnResize } from "../canvas.js";
import { niceCeiling } from "./nice.js";
import { percent } from "../words.js";

const LEFT_PX = 60;
const SCALE_PX = 16;
/** Dark to bright, the same order in grey: can be told apart by the colour-blind. */
const RAMP = [[18, 24, 38], [40, 60, 130], [20, 130, 150], [90, 200, 110], [250, 230, 90]];

export class HeatMap {
  #canvas;
  #note;
  #length;
  #windows = /** @type {import("./api.js").Window[]} */ ([]);
  #pointed = /** @type {?[number, number]} */ (null);

  /** @param {HTMLCanvasElement} canvas @param {HTMLElement} note @param {number} length windows shown */
  constructor(canvas, note, length) {
    this.#canvas = canvas;
    this.#note = note;
    this.#length = length;
    redrawOnResize(canvas, () => this.#draw());
    const point = (event) => this.#point([event.offsetX, event.offsetY]);
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("pointerleave", () => this.#point(null));
  }

  /** @param {import("./api.js").Window[]} windows oldest first */
  show(windows) {
    this.#windows = windows.slice(-this.#length);
    this.#draw();
  }

  get #layers() {
    return Object.keys(this.#windows.at(-1)?.layer_rates ?? {});
  }

  /** @param {?[number, number]} place */
  #point(place) {
    this.#pointed = place;
    this.#tell();
  }

  #draw() {
    const sheet = freshSheet(this.#canvas);
    const layers = this.#layers;
    this.#tell();
    if (!layers.length) return;
    const rates = this.#windows.map((window) => layers.map((layer) => window.layer_rates[layer] ?? 0));
    const top = niceCeiling(Math.max(...rates.flat()) * 100) / 100;
    const { pen, width, height } = sheet;
    pen.imageSmoothingEnabled = false;
    const room = [width - LEFT_PX, height - SCALE_PX];
    const shown = (room[0] * rates.length) / this.#length;
    pen.drawImage(cells(rates, top), width - shown, 0, shown, room[1]);
    drawParts(sheet, layers, room[1]);
    drawScale(sheet, top);
  }

  #tell() {
    const layers = this.#layers;
    if (!layers.length) return this.#say("\u00a0");
    const pointed = this.#pointed && this.#cellAt(this.#pointed, layers);
    const latest = Object.entries(this.#windows[this.#windows.length - 1].layer_rates);
    const [name, rate] = latest.reduce((most, other) => (other[1] > most[1] ? other : most));
    this.#say(pointed ?? `${layers.length} layers, busiest ${name} ${percent(rate)}`);
    this.#canvas.setAttribute("aria-label", `Firing rate by layer: busiest is ${name} with ${percent(rate)}`);
  }

  /** @param {[number, number]} place @param {string[]} layers */
  #cellAt([x, y], layers) {
    const { clientWidth, clientHeight } = this.#canvas;
    const row = Math.floor((y / (clientHeight - SCALE_PX)) * layers.length);
    const column = Math.floor(((x - LEFT_PX) / (clientWidth - LEFT_PX)) * this.#length);
    const window = this.#windows[column - this.#length + this.#windows.length];
    const layer = layers[row];
    return window && layer ? `${layer}: ${percent(window.layer_rates[layer])}` : null;
  }

  /** @param {string} text */
  #say(text) {
    if (this.#note.textContent !== text) this.#note.textContent = text;
  }
}

/** A pixel for each layer and window. @param {number[][]} rates @param {number} top */
function cells(rates, top) {
  const canvas = new OffscreenCanvas(rates.length, rates[0].length);
  const image = new ImageData(rates.length, rates[0].length);
  rates.forEach((column, x) =>
    column.forEach((rate, y) => image.data.set([...heat(rate / top), 255], 4 * (y * rates.length + x))),
  );
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/** Weak rates are spread: most layers are weak. @param {number} share 0 to 1 @returns {number[]} RGB */
function heat(share) {
  const place = Math.sqrt(Math.max(0, Math.min(1, share))) * (RAMP.length - 1);
  const i = Math.min(Math.floor(place), RAMP.length - 2);
  return RAMP[i].map((value, k) => value + (place - i) * (RAMP[i + 1][k] - value));
}

/** @param {import("./canvas.js").Sheet} sheet @param {string[]} layers @param {number} height */
function drawParts({ pen }, layers, height) {
  pen.textAlign = "left";
  pen.textBaseline = "top";
  let last = "";
  layers.forEach((layer, i) => {
    const part = partOf(layer);
    if (part === last) return;
    last = part;
    const y = (i * height) / layers.length;
    pen.fillStyle = colour("line");
    pen.fillRect(0, y, LEFT_PX, 1);
    pen.fillStyle = colour("muted");
    pen.fillText(part, 0, y + 3);
  });
}

/** What the colours mean. @param {import("./canvas.js").Sheet} sheet @param {number} top */
function drawScale({ pen, width, height }, top) {
  const [left, right, y] = [width - 150, width - 42, height - 9];
  for (let x = left; x < right; x++) {
    pen.fillStyle = `rgb(${heat((x - left) / (right - left))})`;
    pen.fillRect(x, y, 1, 8);
  }
  pen.fillStyle = colour("muted");
  pen.textBaseline = "bottom";
  pen.textAlign = "right";
  pen.fillText("0 %", left - 4, height);
  pen.fillText(`${Number((top * 100).toPrecision(3))} %`, width, height);
}

/** @param {string} layer */
function partOf(layer) {
  if (/^(stage|down|sppf)/.test(layer)) return "backbone";
  return layer.startsWith("head") ? "head" : "neck";
}
