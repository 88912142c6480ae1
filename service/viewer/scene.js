/** Events of the last slice, and the boxes of the last window over them. */

import { colour, freshSheet, redrawOnResize } from "./canvas.js";
import { boxCount } from "./words.js";

const TAG_PX = 18;
const BOX_COLOURS = 4;

export class Scene {
  #frame;
  #events;
  #boxes;
  #sensor = [304, 240];
  #found = /** @type {import("./api.js").Detection[]} */ ([]);
  #epoch = 0;
  #waiting = /** @type {?import("./api.js").Slice} */ (null);
  #busy = false;

  /** @param {HTMLElement} frame @param {HTMLCanvasElement} events @param {HTMLCanvasElement} boxes */
  constructor(frame, events, boxes) {
    this.#frame = frame;
    this.#events = events;
    this.#boxes = boxes;
    redrawOnResize(boxes, () => this.#drawBoxes());
  }

  clear() {
    this.#epoch += 1;
    this.#waiting = null;
    this.#events.getContext("2d")?.clearRect(0, 0, this.#events.width, this.#events.height);
    this.show([]);
  }

  /** @param {import("./api.js").Detection[]} found */
  show(found) {
    this.#found = found;
    const labels = found.map((box) => `${box.label} ${box.confidence.toFixed(2)}`).join(", ");
    this.#boxes.setAttribute("aria-label", boxCount(found) + (labels && `: ${labels}`));
    this.#drawBoxes();
  }

  /** Draw a slice; one that is overtaken by a newer one is left out. @param {import("./api.js").Slice} slice */
  async slice(slice) {
    this.#waiting = slice;
    if (this.#busy) return;
    this.#busy = true;
    while (this.#waiting) {
      const next = this.#waiting;
      this.#waiting = null;
      await this.#drawEvents(next, this.#epoch);
    }
    this.#busy = false;
  }

  /** @param {import("./api.js").Slice} slice @param {number} epoch */
  async #drawEvents(slice, epoch) {
    const picture = new Image();
    picture.src = `data:image/png;base64,${slice.png}`;
    try {
      await picture.decode();
    } catch {
      return;
    }
    if (epoch !== this.#epoch) return;
    this.resize(slice.sensor);
    const canvas = this.#events;
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    canvas.getContext("2d")?.drawImage(picture, 0, 0);
  }

  /** @param {[number, number]} sensor width and height */
  resize(sensor) {
    if (sensor[0] === this.#sensor[0] && sensor[1] === this.#sensor[1]) return;
    this.#sensor = sensor;
    this.#frame.style.setProperty("--w", String(sensor[0]));
    this.#frame.style.setProperty("--h", String(sensor[1]));
    this.#drawBoxes();
  }

  #drawBoxes() {
    const sheet = freshSheet(this.#boxes);
    const scale = sheet.width / this.#sensor[0];
    const shown = this.#found.map((box) => {
      const [x, y] = [Math.max(1, box.x * scale), Math.max(1, box.y * scale)];
      const w = Math.min(sheet.width - 1, (box.x + box.w) * scale) - x;
      const h = Math.min(sheet.height - 1, (box.y + box.h) * scale) - y;
      const ink = colour(`box-${(box.class_id % BOX_COLOURS) + 1}`);
      return { x, y, w, h, ink, text: `${box.label} ${box.confidence.toFixed(2)}` };
    });
    for (const box of shown) drawOutline(sheet, box);
    drawTags(sheet, shown);
  }
}

/**
 * @typedef {{x: number, y: number, w: number, h: number, ink: string, text: string}} Shown in CSS pixels
 * @param {import("./canvas.js").Sheet} sheet @param {Shown} box
 */
function drawOutline({ pen }, { x, y, w, h, ink }) {
  pen.lineJoin = "round";
  for (const [style, line] of /** @type {[string, number][]} */ ([[colour("ground"), 5], [ink, 2]])) {
    pen.strokeStyle = style;
    pen.lineWidth = line;
    pen.strokeRect(x, y, w, h);
  }
}

/** @param {import("./canvas.js").Sheet} sheet @param {Shown[]} shown */
function drawTags({ pen, width, height }, shown) {
  const placed = /** @type {Tag[]} */ ([]);
  pen.font = pen.font.replace("11px", "600 12px");
  pen.textBaseline = "middle";
  for (const { x, y, ink, text } of shown) {
    const tag = freePlace({ x, y: y - TAG_PX, w: pen.measureText(text).width + 10 }, placed, width, height);
    placed.push(tag);
    pen.fillStyle = ink;
    pen.fillRect(tag.x, tag.y, tag.w, TAG_PX);
    pen.fillStyle = colour("ground");
    pen.fillText(text, tag.x + 5, tag.y + TAG_PX / 2 + 1);
  }
}

/**
 * Push a tag into the picture, then down until it covers no other.
 *
 * @typedef {{x: number, y: number, w: number}} Tag
 * @param {Tag} tag @param {Tag[]} placed @param {number} width @param {number} height
 * @returns {Tag}
 */
function freePlace(tag, placed, width, height) {
  const x = Math.max(0, Math.min(tag.x, width - tag.w));
  for (let y = Math.max(0, tag.y); y <= height - TAG_PX; y += TAG_PX + 1) {
    const overlaps = placed.some(
      (other) => x < other.x + other.w && other.x < x + tag.w && Math.abs(other.y - y) < TAG_PX,
    );
    if (!overlaps) return { ...tag, x, y };
  }
  return { ...tag, x, y: Math.max(0, tag.y) };
}
