/** Boxes with their labels, drawn over events. */

import { colour } from "./canvas.js";

const TAG_PX = 16;
const PADDING_PX = 8;
const LEAST_TAG_PX = 64;
const INKS = { car: "car", pedestrian: "pedestrian", person: "pedestrian" };
const OTHER_INKS = 3;

/**
 * @typedef {{x: number, y: number, w: number, h: number, ink: string, tags: string[]}} Shown in CSS pixels
 */

/** @param {{label: string, class_id: number}} box @returns {string} the colour of its class */
export const inkOf = ({ label, class_id }) => colour(INKS[label] ?? `other-${(class_id % OTHER_INKS) + 1}`);

/** What to write at a box, best first: the first that is not much wider than the box. @param {import("./api.js").Detection} box */
export const tagsOf = ({ label, track_id, confidence }) => [
  `${label} #${track_id} ${confidence.toFixed(2)}`,
  `#${track_id} ${confidence.toFixed(2)}`,
  `#${track_id}`,
];

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
  pen.font = pen.font.replace("11px", "600 11px");
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  for (const box of shown) {
    const room = Math.max(LEAST_TAG_PX, box.w + PADDING_PX);
    const text = box.tags.find((tag) => pen.measureText(tag).width + PADDING_PX <= room) ?? box.tags[2];
    const tag = freePlace(box, pen.measureText(text).width + PADDING_PX, placed, width, height);
    if (!tag) continue;
    placed.push(tag);
    pen.fillStyle = box.ink;
    pen.fillRect(tag.x, tag.y, tag.w, TAG_PX);
    pen.fillStyle = colour("ground");
    pen.fillText(text, tag.x + PADDING_PX / 2, tag.y + TAG_PX / 2 + 1);
  }
}

/**
 * Above the box, else below, else a row farther off; null if all are taken: a tag far from its box misleads.
 *
 * @typedef {{x: number, y: number, w: number}} Tag
 * @param {Shown} box @param {number} w @param {Tag[]} placed @param {number} width @param {number} height
 * @returns {?Tag}
 */
function freePlace(box, w, placed, width, height) {
  const x = Math.max(0, Math.min(box.x, width - w));
  const row = TAG_PX + 1;
  const places = [box.y - row, box.y + box.h + 1, box.y - 2 * row, box.y + box.h + row + 1];
  const inside = places.map((y) => Math.max(0, Math.min(y, height - TAG_PX)));
  const free = (y) => !placed.some((other) => x < other.x + other.w && other.x < x + w && Math.abs(other.y - y) < TAG_PX);
  const y = inside.find(free);
  return y === undefined ? null : { x, y, w };
}
