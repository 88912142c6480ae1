/** The figures that matter: of a recording those of the whole run, of a live session how well it keeps up. */

import { duration, joules, short, times, whole } from "../words.js";
import { runOf } from "./run.js";

/**
 * @param {import("../tile.js").Tile} tile @param {ReturnType<typeof import("./figures.js").lately>} now
 * @returns {import("./rows.js").Row[]}
 */
export const meters = (tile, now) => (tile.recorded ? ofRecording(tile, now) : ofLive(now));

/** @param {import("../tile.js").Tile} tile @param {ReturnType<typeof import("./figures.js").lately>} now */
function ofRecording(tile, now) {
  const run = runOf(tile.reel, tile.shown);
  if (!run) return [];
  return [
    { cells: ["Speed", tile.speed ? `${times(tile.speed)} real time` : "–"] },
    { cells: ["Boxes", whole(run.boxes)] },
    { cells: ["Objects", whole(run.objects)] },
    { cells: ["Energy of the run", joules(run.snnMj)] },
    { cells: ["Without spikes", joules(run.annMj)] },
    { cells: ["Events", now ? `${short(now.eventsPerS)} /s` : "–"] },
  ];
}

/** @param {ReturnType<typeof import("./figures.js").lately>} now */
function ofLive(now) {
  if (!now) return [];
  return [
    { cells: ["Latency", duration(now.latencyMs)] },
    { cells: ["Slowest", duration(now.slowestMs)] },
    { cells: ["Dropped windows", String(now.dropped)] },
    { cells: ["Events", `${short(now.eventsPerS)} /s`] },
  ];
}
