/** The line below a tile: what matters of a live session, and of a recording. */

import { duration, joules, short, times, watts, whole } from "../words.js";
import { runOf } from "./run.js";

/**
 * @param {ReturnType<typeof import("./figures.js").lately>} now @param {import("../reel.js").Reel} reel
 * @returns {string[]}
 */
export function liveFacts(now, reel) {
  if (!now) return [];
  const missed = reel.now?.slice.missed_slices;
  return [
    `latency ${duration(now.latencyMs)}`,
    `${now.dropped} dropped`,
    ...(missed ? [`${missed} slices not shown`] : []),
    `${short(now.eventsPerS)} events/s`,
    `${watts(now.snnW)}, as ANN ${watts(now.annW)}`,
  ];
}

/** @param {import("../tile.js").Tile} tile @returns {string[]} */
export function recordingFacts({ reel, shown, speed }) {
  const run = runOf(reel, shown);
  if (!run) return [];
  return [
    ...(speed ? [`${times(speed)} real time`] : []),
    `${whole(run.boxes)} boxes, ${whole(run.objects)} objects in all`,
    `${joules(run.snnMj)}, as ANN ${joules(run.annMj)}`,
  ];
}
