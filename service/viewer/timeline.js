/** Boxes by class over all that is kept of a session; shows and sets where the viewer stands. */

import { inkOf } from "./boxes.js";
import { colour, freshSheet, redrawOnResize } from "./canvas.js";
import { countsOf, seconds } from "./words.js";

const FAR = 20;
const LABEL_PX = 66;

export class Timeline {
  #canvas;
  #reel;
  #leastMoments;
  #shown = /** @type {(box: import("./api.js").Detection) => boolean} */ (() => true);
  #onSeek;

  /**
   * @param {HTMLCanvasElement} canvas @param {import("./reel.js").Reel} reel
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
      this.#seekTo(event.offsetX);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && this.#seekTo(event.offsetX));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {(box: import("./api.js").Detection) => boolean} shown which boxes count */
  draw(shown) {
    this.#shown = shown;
    const sheet = freshSheet(this.#canvas);
    const rows = this.#rows();
    const y = (row) => (row * sheet.height) / Math.max(1, rows.size);
    let row = 0;
    for (const [label, { ink, counts }] of rows) {
      drawRow(sheet, label, ink, counts, y(row), y(row + 1), (number) => this.#x(number, sheet.width));
      row += 1;
    }
    if (!rows.size) drawHint(sheet, this.#reel.last < this.#reel.first ? "nothing yet" : "no boxes yet");
    this.#drawPlace(sheet);
    this.#tell();
  }

  /** @returns {Map<string, {ink: string, counts: Map<number, number>}>} label -> moment -> boxes */
  #rows() {
    const rows = new Map();
    for (let i = this.#reel.first; i <= this.#reel.last; i++) {
      for (const box of this.#reel.moment(i)?.latest?.detections ?? []) {
        if (!this.#shown(box)) continue;
        if (!rows.has(box.label)) rows.set(box.label, { ink: inkOf(box), counts: new Map() });
        const { counts } = rows.get(box.label);
        counts.set(i, (counts.get(i) ?? 0) + 1);
      }
    }
    return new Map([...rows].sort());
  }

  /** @param {import("./canvas.js").Sheet} sheet */
  #drawPlace({ pen, width, height }) {
    if (this.#reel.at < this.#reel.first) return;
    const x = this.#x(this.#reel.at + 1, width);
    pen.fillStyle = colour("text");
    pen.fillRect(x - 1, 0, 2, height);
  }

  get #length() {
    return Math.max(this.#leastMoments(), this.#reel.last - this.#reel.first + 1);
  }

  /** @param {number} number of a moment @param {number} width */
  #x(number, width) {
    return LABEL_PX + ((number - this.#reel.first) / this.#length) * (width - LABEL_PX);
  }

  /** @param {number} x */
  #seekTo(x) {
    const share = (x - LABEL_PX) / (this.#canvas.clientWidth - LABEL_PX);
    this.#onSeek(this.#reel.first + Math.floor(share * this.#length));
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
    const found = (now?.latest?.detections ?? []).filter(this.#shown);
    const values = { valuemin: first, valuemax: Math.max(first, last), valuenow: Math.max(first, at) };
    for (const [name, value] of Object.entries(values)) this.#canvas.setAttribute(`aria-${name}`, String(value));
    const text = now ? `${seconds(this.#reel.since(now))}, ${countsOf(found)}` : "nothing yet";
    this.#canvas.setAttribute("aria-valuetext", text);
  }
}

/**
 * @param {import("./canvas.js").Sheet} sheet @param {string} label @param {string} ink
 * @param {Map<number, number>} counts @param {number} top @param {number} bottom @param {(n: number) => number} x
 */
function drawRow({ pen, width }, label, ink, counts, top, bottom, x) {
  const most = Math.max(1, ...counts.values());
  pen.fillStyle = colour("line");
  pen.fillRect(LABEL_PX, bottom - 1, width - LABEL_PX, 1);
  pen.fillStyle = ink;
  for (const [number, count] of counts) {
    const height = (count / most) * (bottom - top - 5);
    const left = Math.floor(x(number));
    pen.fillRect(left, bottom - 1 - height, Math.max(1, Math.floor(x(number + 1)) - left), height);
  }
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(label, 0, (top + bottom) / 2, LABEL_PX - 6);
}

/** @param {import("./canvas.js").Sheet} sheet @param {string} text */
function drawHint({ pen, width, height }, text) {
  pen.fillStyle = colour("muted");
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(text, width / 2, height / 2);
}
