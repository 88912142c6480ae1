/** The picture of one session at one moment: fading events, trails, boxes, seen through a view. */

import { drawBoxes, inkOf, tagsOf } from "./boxes.js";
import { freshSheet } from "./canvas.js";
import { Pictures } from "./pictures.js";
import { SEEN_FADES, Surface } from "./surface.js";
import { captionOf, cornersOf, drawZone } from "./zones/drawing.js";
import { drawTrail, trailsOf } from "./trails.js";

export class Scene {
  #canvas;
  #reel;
  #view;
  #pictures;
  #surface = new Surface();
  #strength = 0;
  #look;
  zones = /** @type {import("./api.js").Zone[]} */ ([]);

  /**
   * @param {HTMLCanvasElement} canvas @param {import("./reel.js").Reel} reel
   * @param {import("./view.js").View} view @param {import("./look.js").Look} look @param {() => void} onReady called when there is more to draw
   */
  constructor(canvas, reel, view, look, onReady) {
    this.#canvas = canvas;
    this.#reel = reel;
    this.#view = view;
    this.#look = look;
    this.#pictures = new Pictures(onReady);
  }

  /**
   * @param {(box: import("./api.js").Detection) => boolean} shown which boxes are drawn
   * @param {import("./api.js").Zone[]} drafts zones that are being drawn by hand
   */
  draw(shown, drafts) {
    const sheet = freshSheet(this.#canvas);
    this.#drawEvents(sheet);
    for (const { box, points } of trailsOf(this.#reel, shown)) {
      drawTrail(sheet, points.map((point) => this.#onSheet(sheet, point)), inkOf(box));
    }
    this.#drawZones(sheet, drafts);
    const found = (this.#reel.now?.latest?.detections ?? []).filter(shown);
    drawBoxes(sheet, found.map((box) => this.#boxOnSheet(sheet, box)).filter((box) => box.w > 0 && box.h > 0));
  }

  /** @param {import("./canvas.js").Sheet} sheet */
  #drawEvents({ pen, width, height }) {
    const { layers, whole } = this.#layers();
    if (layers.length) this.#strength = this.#surface.paint(layers, this.#look, whole);
    if (!this.#strength) return;
    const { canvas } = this.#surface;
    const { x, y, w, h } = this.#view.seen;
    const [across, down] = [canvas.width / this.#view.sensor[0], canvas.height / this.#view.sensor[1]];
    pen.imageSmoothingEnabled = w * across > width * devicePixelRatio;
    pen.fillStyle = `rgb(${this.#look.palette.ground.join(" ")})`;
    pen.fillRect(0, 0, width, height);
    pen.globalAlpha = this.#strength;
    pen.drawImage(canvas, x * across, y * down, w * across, h * down, 0, 0, width, height);
    pen.globalAlpha = 1;
  }

  /** @param {import("./canvas.js").Sheet} sheet @param {import("./api.js").Zone[]} drafts */
  #drawZones(sheet, drafts) {
    const counts = this.#reel.now?.latest?.zones ?? [];
    for (const zone of [...this.zones, ...drafts]) {
      const corners = cornersOf(zone).map((corner) => this.#onSheet(sheet, corner));
      drawZone(sheet, corners, !zone.line, captionOf(zone, counts.find((count) => count.zone === zone.name)));
    }
  }

  /** The slices that can still be seen, oldest first, and whether all of them are decoded. */
  #layers() {
    const layers = /** @type {import("./surface.js").Layer[]} */ ([]);
    let whole = true;
    let ageUs = this.#reel.elapsedUs;
    for (let i = this.#reel.at; i >= this.#reel.first && ageUs < SEEN_FADES * this.#look.fadeUs; i--) {
      const moment = /** @type {import("./reel.js").Moment} */ (this.#reel.moment(i));
      const picture = this.#pictures.get(moment.slice);
      if (picture) layers.unshift({ picture, ageUs });
      else whole = false;
      if (moment.jumped) break;
      ageUs += moment.slice.t1_us - moment.slice.t0_us;
    }
    return { layers, whole };
  }

  /** @param {import("./canvas.js").Sheet} sheet @param {[number, number]} place @returns {[number, number]} */
  #onSheet({ width }, [x, y]) {
    const scale = this.#view.scale(width);
    const seen = this.#view.seen;
    return [(x - seen.x) * scale, (y - seen.y) * scale];
  }

  /** @param {import("./canvas.js").Sheet} sheet @param {import("./api.js").Detection} box */
  #boxOnSheet(sheet, box) {
    const [left, top] = this.#onSheet(sheet, [box.x, box.y]);
    const [right, bottom] = this.#onSheet(sheet, [box.x + box.w, box.y + box.h]);
    const [x, y] = [Math.max(1, left), Math.max(1, top)];
    const [w, h] = [Math.min(sheet.width - 1, right) - x, Math.min(sheet.height - 1, bottom) - y];
    return { x, y, w, h, ink: inkOf(box), tags: tagsOf(box) };
  }
}
