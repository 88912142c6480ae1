/** Boxes by class over all that is kept of a session; shows and sets where the viewer stands. */

import { inkOf } from "../boxes.js";
import { freshSheet, redrawOnResize } from "../canvas.js";
import { clock, countsOf } from "../words.js";
import { drawAxis, ticksOf } from "./axis.js";
import { drawHint, drawMark, drawPlace, drawRow } from "./drawing.js";

const FAR = 20;
const AXIS_PX = 16;
/** Labels and counts at the left, the highest counts at the right. */
const LABEL_PX = 92;
const RIGHT_PX = 46;

/** @typedef {{label: string, ink: string, counts: Map<number, number>}} Row boxes of one class, by moment */

export class Timeline {
  #canvas;
  #reel;
  #leastMoments;
  #shown = /** @type {(box: import("../api.js").Detection) => boolean} */ (() => true);
  #pointed = /** @type {?number} */ (null);
  #onSeek;

  /**
   * @param {HTMLCanvasElement} canvas @param {import("../reel.js").Reel} reel
   * @param {() => number} leastMoments that fill the width, however few there are
   * @param {(number: number) => void} onSeek
   */
  constructor(canvas, reel, leastMoments, onSeek) {
    this.#canvas = canvas;
    this.#reel = reel;
    this.#leastMoments = leastMoments;
    this.#onSeek = onSeek;
    redrawOnResize(canvas, () => this.draw(this.#shown));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      onSeek(this.#numberAt(event.offsetX));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) onSeek(this.#numberAt(event.offsetX));
      else this.#point(this.#numberAt(event.offsetX));
    });
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {(box: import("../api.js").Detection) => boolean} shown which boxes count */
  draw(shown) {
    this.#shown = shown;
    const sheet = freshSheet(this.#canvas);
    const rows = this.#rows();
    const x = (number) => this.#x(number, sheet.width);
    const bottom = sheet.height - AXIS_PX;
    const y = (row) => (row * bottom) / Math.max(1, rows.length);
    rows.forEach((row, i) => drawRow(sheet, row, [y(i), y(i + 1)], x, this.#reel.at));
    drawAxis(sheet, ticksOf(this.#reel, x), bottom);
    if (!rows.length) drawHint(sheet, this.#reel.last < this.#reel.first ? "nothing yet" : "no boxes yet", bottom);
    if (this.#reel.at >= this.#reel.first) drawPlace(sheet, x(this.#reel.at + 1), bottom);
    this.#drawPointed(sheet, x, bottom);
    this.#tell();
  }

  /** @returns {Row[]} */
  #rows() {
    const rows = /** @type {Map<string, Row>} */ (new Map());
    for (let i = this.#reel.first; i <= this.#reel.last; i++) {
      for (const box of this.#boxesAt(i)) {
        const row = rows.get(box.label) ?? { label: box.label, ink: inkOf(box), counts: new Map() };
        rows.set(box.label, row);
        row.counts.set(i, (row.counts.get(i) ?? 0) + 1);
      }
    }
    return [...rows.values()].sort((a, b) => a.label.localeCompare(b.label));
  }

  /** @param {number} number of a moment */
  #boxesAt(number) {
    return (this.#reel.moment(number)?.latest?.detections ?? []).filter(this.#shown);
  }

  /** @param {?number} number of the moment under the pointer */
  #point(number) {
    this.#pointed = number;
    this.draw(this.#shown);
  }

  /** @param {import("../canvas.js").Sheet} sheet @param {(number: number) => number} x @param {number} bottom */
  #drawPointed(sheet, x, bottom) {
    const moment = this.#pointed === null ? undefined : this.#reel.moment(this.#pointed);
    if (this.#pointed === null || !moment) return;
    const text = `${clock(this.#reel.since(moment))}  ${countsOf(this.#boxesAt(this.#pointed))}`;
    drawMark(sheet, x(this.#pointed + 0.5), text, bottom);
  }

  get #length() {
    return Math.max(this.#leastMoments(), this.#reel.last - this.#reel.first + 1);
  }

  /** @param {number} number of a moment @param {number} width */
  #x(number, width) {
    return LABEL_PX + ((number - this.#reel.first) / this.#length) * (width - LABEL_PX - RIGHT_PX);
  }

  /** @param {number} x @returns {number} of a moment */
  #numberAt(x) {
    const share = (x - LABEL_PX) / (this.#canvas.clientWidth - LABEL_PX - RIGHT_PX);
    const { first, last } = this.#reel;
    return Math.max(first, Math.min(last, first + Math.floor(share * this.#length)));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { at, first, last } = this.#reel;
    const to = { PageDown: at - FAR, PageUp: at + FAR, Home: first, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.#onSeek(to);
  }

  #tell() {
    const { at, first, last, now } = this.#reel;
    const values = { valuemin: first, valuemax: Math.max(first, last), valuenow: Math.max(first, at) };
    for (const [name, value] of Object.entries(values)) this.#canvas.setAttribute(`aria-${name}`, String(value));
    const text = now ? `${clock(this.#reel.since(now))}, ${countsOf(this.#boxesAt(at))}` : "nothing yet";
    this.#canvas.setAttribute("aria-valuetext", text);
  }
}
