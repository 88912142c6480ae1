/** Keys for the selected session. Where text or a slider has the focus they keep their own meaning. */

import { toggleFullScreen } from "./export/ways_out.js";

/** @type {Record<string, (tile: import("./tile.js").Tile) => void>} */
const ACTS = {
  " ": (tile) => tile.toggle(),
  k: (tile) => tile.toggle(),
  ArrowLeft: (tile) => tile.step(-1),
  ArrowRight: (tile) => tile.step(1),
  ",": (tile) => tile.step(-1),
  ".": (tile) => tile.step(1),
  "<": (tile) => tile.hasten(-1),
  ">": (tile) => tile.hasten(1),
  l: (tile) => tile.follow(),
  f: (tile) => toggleFullScreen(tile.root),
  "+": (tile) => tile.zoom(1),
  "=": (tile) => tile.zoom(1),
  "-": (tile) => tile.zoom(-1),
  0: (tile) => tile.zoom(0),
};
/** @type {Record<string, [number, number]>} */
const PANS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** @param {import("./wall.js").Wall} wall */
export function listenForKeys(wall) {
  addEventListener("keydown", (event) => {
    const tile = wall.selected;
    if (!tile || event.ctrlKey || event.metaKey || event.altKey || keepsKeys(event)) return;
    const act = event.shiftKey && PANS[event.key] ? () => tile.pan(...PANS[event.key]) : ACTS[event.key];
    const chosen = wall.tiles[Number(event.key) - 1];
    if (!act && !chosen) return;
    event.preventDefault();
    if (act) act(tile);
    else wall.select(chosen);
  });
}

/** @param {KeyboardEvent} event */
function keepsKeys({ target, key }) {
  const element = /** @type {HTMLElement} */ (target);
  if (element.matches?.("input, select, textarea, dialog *")) return true;
  return key === " " && element.matches?.("button, a, summary");
}
