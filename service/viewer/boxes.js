/** Boxes with their labels, drawn over events. */

import { colour } from "./canvas.js";

const TAG_PX = 18;
const INKS = { car: "car", pedestrian: "pedestrian", person: "pedestrian" };
const OTHER_INKS = 3;

/**
 * @typedef {{x: number, y: number, w: number, h: number, ink: string, text: string}} Shown in CSS pixels
 */

/** @param {{label: string, class_id: number}} box @returns {string} the colour of its class */
export const inkOf = ({ label, class_id }) => colour(INKS[label] ?? `other-${(class_id % OTHER_INKS) + 1}`);

/** @param {import("./api.js").Detection} box */
export const tagOf = (box) => `${box.label} #${box.track_id} ${box.confidence.toFixed(2)}`;

/** @param {import("./canvas.js").Sheet} sheet @param {Shown[]} shown */
export function drawBoxes(sheet, shown) {
  for (const box of shown) drawOutline(sheet, box);
  drawTags(sheet, shown);
}

/** @param {import("./canvas.js").Sheet} sheet @param {Shown} box */
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
  pen.textAlign = "left";
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
 * Push a tag into the picture, then up until it covers no other, else down.
 *
 * @typedef {{x: number, y: number, w: number}} Tag
 * @param {Tag} tag @param {Tag[]} placed @param {number} width @param {number} height
 * @returns {Tag}
 */
function freePlace(tag, placed, width, height) {
  const x = Math.max(0, Math.min(tag.x, width - tag.w));
  const start = Math.max(0, Math.min(tag.y, height - TAG_PX));
  const free = (y) =>
    !placed.some((other) => x < other.x + other.w && other.x < x + tag.w && Math.abs(other.y - y) < TAG_PX);
  for (const step of [-TAG_PX - 1, TAG_PX + 1]) {
    for (let y = start; y >= 0 && y <= height - TAG_PX; y += step) if (free(y)) return { ...tag, x, y };
  }
  return { ...tag, x, y: start };
}
