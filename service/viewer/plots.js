/** Lines over the last windows, on a canvas. */

import { colour, freshSheet, redrawOnResize } from "./canvas.js";

/** @typedef {{ink: string, values: number[]}} Line a colour's name and the values, oldest first */

const TOP = 8;
const BOTTOM = 6;

export class LinePlot {
  #canvas;
  #length;
  #write;
  #lines = /** @type {Line[]} */ ([]);

  /**
   * @param {HTMLCanvasElement} canvas @param {number} length windows shown
   * @param {(value: number) => string} write a value with its unit
   */
  constructor(canvas, length, write) {
    this.#canvas = canvas;
    this.#length = length;
    this.#write = write;
    redrawOnResize(canvas, () => this.#draw());
  }

  /** @param {Line[]} lines */
  show(lines) {
    this.#lines = lines;
    this.#draw();
  }

  #draw() {
    const sheet = freshSheet(this.#canvas);
    if (!this.#lines.some((line) => line.values.length)) return drawNothing(sheet);
    const top = niceCeiling(Math.max(...this.#lines.flatMap((line) => line.values)));
    const y = (value) => sheet.height - BOTTOM - (value / top) * (sheet.height - TOP - BOTTOM);
    const left = drawAxis(sheet, top, y, this.#write);
    const step = (sheet.width - left - 4) / (this.#length - 1);
    for (const { ink, values } of this.#lines) drawLine(sheet, colour(ink), values, step, y);
  }
}

/**
 * @param {import("./canvas.js").Sheet} sheet @param {string} ink @param {number[]} values @param {number} step
 * @param {(value: number) => number} y
 */
function drawLine({ pen, width }, ink, values, step, y) {
  const points = values.map((value, i) => [width - 4 - (values.length - 1 - i) * step, y(value)]);
  pen.strokeStyle = pen.fillStyle = ink;
  pen.lineWidth = 1.75;
  pen.beginPath();
  for (const point of points) pen.lineTo(point[0], point[1]);
  pen.stroke();
  pen.beginPath();
  for (const [x, height] of points.slice(-1)) pen.arc(x, height, 3, 0, 2 * Math.PI);
  pen.fill();
}

/** @param {import("./canvas.js").Sheet} sheet */
export function drawNothing({ pen, width, height }) {
  pen.fillStyle = colour("muted");
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText("no window yet", width / 2, height / 2);
}

/**
 * Lines at 0, half and all of `top`, with their values.
 *
 * @param {import("./canvas.js").Sheet} sheet @param {number} top @param {(value: number) => number} y
 * @param {(value: number) => string} write
 * @returns {number} where the plot begins
 */
function drawAxis({ pen, width }, top, y, write) {
  const marks = [top, top / 2, 0].map((value) => ({ value, text: value ? write(value).replace(/\.0+ /, " ") : "0" }));
  const left = Math.max(...marks.map(({ text }) => pen.measureText(text).width)) + 8;
  pen.strokeStyle = colour("line");
  pen.fillStyle = colour("muted");
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const { value, text } of marks) {
    pen.fillText(text, left - 6, y(value));
    pen.beginPath();
    pen.moveTo(left, Math.round(y(value)) + 0.5);
    pen.lineTo(width, Math.round(y(value)) + 0.5);
    pen.stroke();
  }
  return left;
}

/** @param {number} value @returns {number} 1, 2, 4, 6 or 10 times a power of ten, at least `value` */
export function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 4, 6].find((nice) => nice * power >= value) ?? 10);
}
