/** Where the objects in sight have been during the last second. */

export const TRAIL_US = 1_000_000;

/** @typedef {{box: import("./api.js").Detection, points: [number, number][]}} Trail the middle of the lower edge */

/**
 * @param {import("./reel.js").Reel} reel
 * @param {(box: import("./api.js").Detection) => boolean} shown
 * @returns {Trail[]} of the boxes at the moment shown, oldest point first, in sensor pixels
 */
export function trailsOf(reel, shown) {
  const now = reel.now?.latest;
  if (!now) return [];
  const trails = /** @type {Map<number, Trail>} */ (new Map());
  for (const box of now.detections.filter(shown)) trails.set(box.track_id, { box, points: [] });
  for (const window of recentWindows(reel, now.t_end_us)) {
    for (const { track_id, x, y, w, h } of window.detections) trails.get(track_id)?.points.push([x + w / 2, y + h]);
  }
  return [...trails.values()];
}

/** @param {import("./reel.js").Reel} reel @param {number} endUs */
function recentWindows(reel, endUs) {
  const found = /** @type {import("./api.js").Window[]} */ ([]);
  for (let i = reel.at; i >= reel.first; i--) {
    const moment = /** @type {import("./reel.js").Moment} */ (reel.moment(i));
    if (moment.slice.t1_us < endUs - TRAIL_US) break;
    found.unshift(...moment.windows);
    if (moment.jumped) break;
  }
  return found;
}

/**
 * @param {import("./canvas.js").Sheet} sheet @param {[number, number][]} points in CSS pixels @param {string} ink
 */
export function drawTrail({ pen }, points, ink) {
  pen.strokeStyle = pen.fillStyle = ink;
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = 2.5;
  for (let i = 1; i < points.length; i++) {
    pen.globalAlpha = 0.15 + (0.75 * i) / points.length;
    pen.beginPath();
    pen.moveTo(...points[i - 1]);
    pen.lineTo(...points[i]);
    pen.stroke();
  }
  pen.globalAlpha = 1;
}
