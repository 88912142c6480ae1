/** Times below the timeline. */

import { colour } from "../canvas.js";
import { shortClock } from "../words.js";

const LEAST_PX = 64;
const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];

/** @typedef {{x: number, text: string}} Tick */

/**
 * Round times at which the moments kept pass; where time jumps, the axis jumps with it.
 *
 * @param {import("../reel.js").Reel} reel @param {(number: number) => number} x of a moment's start
 * @returns {Tick[]}
 */
export function ticksOf(reel, x) {
  const newest = reel.moment(reel.last);
  if (!newest) return [];
  const spanUs = newest.slice.t1_us - newest.slice.t0_us;
  const pxPerUs = (x(1) - x(0)) / spanUs;
  const stepUs = 1e6 * (STEPS_S.find((step) => step * 1e6 * pxPerUs >= LEAST_PX) ?? STEPS_S[STEPS_S.length - 1]);
  const ticks = /** @type {Tick[]} */ ([]);
  for (let i = reel.first; i <= reel.last; i++) {
    const moment = /** @type {import("../reel.js").Moment} */ (reel.moment(i));
    const endUs = reel.since(moment);
    const startUs = endUs - (moment.slice.t1_us - moment.slice.t0_us);
    const tickUs = Math.ceil(startUs / stepUs) * stepUs;
    const last = tickUs === endUs && i === reel.last;
    if (tickUs < endUs || last) {
      const place = x(i) + ((tickUs - startUs) / (endUs - startUs)) * (x(i + 1) - x(i));
      if (!ticks.length || place - ticks[ticks.length - 1].x >= LEAST_PX / 2) {
        ticks.push({ x: place, text: shortClock(tickUs) });
      }
    }
  }
  return ticks;
}

/** @param {import("../canvas.js").Sheet} sheet @param {Tick[]} ticks @param {number} top of the axis */
export function drawAxis({ pen }, ticks, top) {
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const { x, text } of ticks) {
    pen.fillStyle = colour("edge");
    pen.fillRect(Math.round(x), top, 1, 4);
    pen.fillStyle = colour("muted");
    pen.fillText(text, x, top + 5);
  }
}
