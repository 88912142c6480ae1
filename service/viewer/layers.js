/** Firing rate of each layer in the last window, as bars in the order of the network. */

import { colour, freshSheet, redrawOnResize } from "./canvas.js";
import { drawAxis, drawNothing, niceCeiling } from "./plots.js";
import { percent } from "./words.js";

/** @typedef {[name: string, rate: number]} Rate */

const PART_HEIGHT = 15;
const TOP = 8;

export class LayerBars {
  #canvas;
  #note;
  #rates = /** @type {Rate[]} */ ([]);
  #left = 0;
  #pointed = -1;

  /** @param {HTMLCanvasElement} canvas @param {HTMLElement} note says which layer is which */
  constructor(canvas, note) {
    this.#canvas = canvas;
    this.#note = note;
    redrawOnResize(canvas, () => this.#draw());
    canvas.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.#point(-1));
  }

  /** @param {Record<string, number>} rates */
  show(rates) {
    this.#rates = Object.entries(rates);
    this.#draw();
    this.#tell();
  }

  /** @param {number} x */
  #point(x) {
    const bar = (this.#canvas.clientWidth - this.#left) / this.#rates.length;
    this.#pointed = x < this.#left ? -1 : Math.floor((x - this.#left) / bar);
    this.#draw();
    this.#tell();
  }

  #tell() {
    const pointed = this.#rates[this.#pointed];
    const all = this.#rates.length ? `${this.#rates.length} layers, ${busiest(this.#rates)}` : "\u00a0";
    this.#note.textContent = pointed ? `${pointed[0]}: ${percent(pointed[1])}` : all;
  }

  #draw() {
    const sheet = freshSheet(this.#canvas);
    if (!this.#rates.length) return drawNothing(sheet);
    const { pen, width, height } = sheet;
    const top = niceCeiling(Math.max(...this.#rates.map(([, rate]) => rate)) * 100) / 100;
    const ground = height - PART_HEIGHT;
    const y = (rate) => ground - (rate / top) * (ground - TOP);
    const left = drawAxis(sheet, top * 100, (value) => y(value / 100), " %");
    this.#left = left;
    const bar = (width - left) / this.#rates.length;
    this.#rates.forEach(([, rate], i) => {
      pen.fillStyle = colour(i === this.#pointed ? "accent" : "rate");
      pen.fillRect(left + i * bar + bar * 0.1, y(rate), bar * 0.8, ground - y(rate));
    });
    drawParts(sheet, this.#rates, left, bar);
  }
}

/** Name the parts of the network under their bars. @param {import("./canvas.js").Sheet} sheet @param {Rate[]} rates */
function drawParts({ pen, height }, rates, left, bar) {
  pen.textAlign = "left";
  pen.textBaseline = "bottom";
  let last = "";
  rates.forEach(([name], i) => {
    const part = partOf(name);
    if (part === last) return;
    last = part;
    const x = left + i * bar;
    pen.fillStyle = colour("line");
    pen.fillRect(x, height - PART_HEIGHT, 1, PART_HEIGHT);
    pen.fillStyle = colour("muted");
    pen.fillText(part, x + 4, height);
  });
}

/** @param {string} layer */
function partOf(layer) {
  if (/^(stage|down|sppf)/.test(layer)) return "backbone";
  return layer.startsWith("head") ? "head" : "neck";
}

/** @param {Rate[]} rates */
function busiest(rates) {
  const [name, rate] = rates.reduce((most, other) => (other[1] > most[1] ? other : most));
  return `busiest ${name} ${percent(rate)}`;
}
