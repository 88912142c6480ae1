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

/** What to write at a box, best first; the number of the track goes first where room is short. @param {import("./api.js").Detection} box */
export const tagsOf = ({ label, track_id, confidence }) => [
  `${label} #${track_id} ${confidence.toFixed(2)}`,
  `${label} ${confidence.toFixed(2)}`,
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
    const wide = (text) => pen.measureText(text).width + PADDING_PX;
    const tries = box.tags.filter((tag, i) => i === box.tags.length - 1 || wide(tag) <= room);
    const found = tries.map((text) => ({ text, tag: freePlace(box, wide(text), placed, width, height) }));
    const { text, tag } = found.find(({ tag }) => tag) ?? {};
    if (!text || !tag) continue;
    placed.push(tag);
    pen.fillStyle = box.ink;
    pen.fillRect(tag.x, tag.y, tag.w, TAG_PX);
    pen.fillStyle = colour("ground");
    pen.fillText(text, tag.x + PADDING_PX / 2, tag.y + TAG_PX / 2 + 1);
  }
}

/**
 * Above the box, else below, inside, at its sides, a row farther off; null if all are taken: a tag far from its box
 * misleads.
 *
 * @typedef {{x: number, y: number, w: number}} Tag
 * @param {Shown} box @param {number} w @param {Tag[]} placed @param {number} width @param {number} height
 * @returns {?Tag}
 */
function freePlace(box, w, placed, width, height) {
  const [top, bottom, row] = [box.y - TAG_PX - 1, box.y + box.h + 1, TAG_PX + 1];
  const [left, right] = [box.x - w - 1, box.x + box.w + 1];
  const places = [
    [box.x, top], [box.x, bottom], [box.x, box.y + 1], [box.x, box.y + box.h - row],
    [right, box.y], [left, box.y], [box.x, top - row], [box.x, bottom + row],
  ].map(([x, y]) => ({ x: Math.max(0, Math.min(x, width - w)), y: Math.max(0, Math.min(y, height - TAG_PX)), w }));
  const covers = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && Math.abs(a.y - b.y) < TAG_PX;
  return places.find((place) => !placed.some((other) => covers(place, other))) ?? null;
}
