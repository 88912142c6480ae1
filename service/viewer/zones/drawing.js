/** Zones and lines over the picture, with their counts. */

import { colour } from "../canvas.js";
import { total } from "../side/zone_counts.js";

/** @typedef {[number, number]} Point */

/** @param {import("../api.js").Zone} zone @returns {Point[]} in sensor pixels */
export const cornersOf = (zone) => zone.polygon ?? zone.line ?? [];

/** @param {import("../api.js").Zone} zone @param {import("../api.js").ZoneCount} [count] none before the first result */
export function captionOf(zone, count) {
  if (!count) return zone.name;
  const passed = `${total(count.entered)} in, ${total(count.left)} out`;
  return zone.line ? `${zone.name}: ${passed}` : `${zone.name}: ${total(count.inside)} inside, ${passed}`;
}

/** @param {import("../canvas.js").Sheet} sheet @param {Point[]} corners in CSS pixels @param {boolean} closed @param {string} caption */
export function drawZone({ pen, width, height }, corners, closed, caption) {
  pen.beginPath();
  for (const corner of corners) pen.lineTo(...corner);
  if (closed) pen.closePath();
  pen.fillStyle = pen.strokeStyle = colour("zone");
  pen.globalAlpha = 0.1;
  if (closed) pen.fill();
  pen.globalAlpha = 1;
  pen.setLineDash([6, 4]);
  pen.lineWidth = 2;
  pen.stroke();
  pen.setLineDash([]);
  const [x, y] = corners.reduce((top, corner) => (corner[1] < top[1] ? corner : top), [0, Infinity]);
  pen.textAlign = "left";
  pen.textBaseline = "bottom";
  const wide = pen.measureText(caption).width + 8;
  const [left, bottom] = [Math.max(0, Math.min(width - wide, x)), Math.max(18, Math.min(height, y - 3))];
  pen.fillStyle = colour("ground");
  pen.fillRect(left, bottom - 16, wide, 16);
  pen.fillStyle = colour("zone");
  pen.fillText(caption, left + 4, bottom - 2);
}
