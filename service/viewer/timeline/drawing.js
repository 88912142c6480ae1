/** What the timeline is made of: a row for each class, the place shown, the moment under the pointer. */

import { colour } from "../canvas.js";

const MARK_PX = 18;
const PADDING_PX = 7;
/** Columns wider than this have gaps. */
const LEAST_GAPPED_PX = 5;

/**
 * The row of a class: its label, the count at the moment shown, a column for each moment, the highest count.
 *
 * @param {import("../canvas.js").Sheet} sheet @param {import("./timeline.js").Row} row
 * @param {[number, number]} height from and to @param {(number: number) => number} x of a moment's start
 * @param {number} at the moment shown
 */
export function drawRow({ pen, width }, { label, ink, counts }, [top, bottom], x, at) {
  const most = Math.max(1, ...counts.values());
  pen.fillStyle = colour("line");
  pen.fillRect(0, bottom - 1, width, 1);
  pen.fillStyle = ink;
  for (const [number, count] of counts) {
    const height = (count / most) * (bottom - top - 5);
    const from = Math.floor(x(number));
    const wide = Math.floor(x(number + 1)) - from;
    pen.fillRect(from, bottom - 1 - height, Math.max(1, wide > LEAST_GAPPED_PX ? wide - 1 : wide), height);
  }
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  pen.fillText(label, 0, (top + bottom) / 2, 66);
  pen.textAlign = "right";
  pen.fillStyle = colour("text");
  pen.fillText(String(counts.get(at) ?? 0), 84, (top + bottom) / 2);
  pen.fillStyle = colour("muted");
  pen.fillText(`max ${most}`, width, (top + bottom) / 2);
}

/** @param {import("../canvas.js").Sheet} sheet @param {number} x @param {number} bottom */
export function drawPlace({ pen }, x, bottom) {
  pen.fillStyle = colour("text");
  pen.fillRect(Math.round(x) - 1, 0, 2, bottom + 4);
  pen.beginPath();
  pen.arc(Math.round(x), bottom + 4, 4, 0, 2 * Math.PI);
  pen.fill();
}

/** A line with a note, which stays on the sheet. @param {import("../canvas.js").Sheet} sheet @param {number} x @param {string} text @param {number} bottom */
export function drawMark({ pen, width }, x, text, bottom) {
  pen.fillStyle = colour("accent");
  pen.fillRect(Math.round(x), 0, 1, bottom);
  const wide = pen.measureText(text).width + 2 * PADDING_PX;
  const left = Math.max(0, Math.min(width - wide, x + PADDING_PX + wide > width ? x - wide - PADDING_PX : x + PADDING_PX));
  pen.fillStyle = colour("raised");
  pen.fillRect(left, 1, wide, MARK_PX);
  pen.fillStyle = colour("text");
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(text, left + PADDING_PX, 2 + MARK_PX / 2);
}

/** @param {import("../canvas.js").Sheet} sheet @param {string} text @param {number} bottom */
export function drawHint({ pen, width }, text, bottom) {
  pen.fillStyle = colour("muted");
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(text, width / 2, bottom / 2);
}
