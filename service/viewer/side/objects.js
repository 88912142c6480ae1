/** The objects at the moment shown: how many of each class, and which tracks they are. */

import { inkOf } from "../boxes.js";
import { countsOf } from "../words.js";
import { showCounts } from "./counts.js";
import { setRows } from "./rows.js";

const LISTED = 8;
const SEEN_MOMENTS = 400;

export class Objects {
  #counts;
  #list;
  #more;

  /** @param {(id: string) => HTMLElement} page finds an element */
  constructor(page) {
    this.#counts = page("objects");
    this.#list = page("tracks");
    this.#more = page("tracks-more");
  }

  /** @param {import("../reel.js").Reel} reel @param {import("../api.js").Detection[]} boxes that are shown */
  show(reel, boxes) {
    showCounts(this.#counts, reel.now ? boxes : null);
    const tracked = boxes.filter((box) => box.track_id).sort((a, b) => a.track_id - b.track_id);
    const since = firstSeen(reel, new Set(tracked.map((box) => box.track_id)));
    setRows(
      this.#list,
      tracked.slice(0, LISTED).map((box) => ({
        ink: inkOf(box),
        cells: [`${box.label} #${box.track_id}`, box.confidence.toFixed(2), since(box.track_id)],
      })),
    );
    const more = tracked.slice(LISTED);
    this.#more.textContent = more.length ? `and ${countsOf(more)}` : "";
    this.#list.hidden = !tracked.length;
  }
}

/**
 * @param {import("../reel.js").Reel} reel @param {Set<number>} tracks
 * @returns {(track: number) => string} how long a track has been in sight
 */
function firstSeen(reel, tracks) {
  const nowUs = reel.now?.latest?.t_end_us ?? 0;
  const firstUs = new Map();
  const oldest = Math.max(reel.first, reel.at - SEEN_MOMENTS);
  for (let i = reel.at; i >= oldest; i--) {
    for (const { t_start_us, detections } of reel.moment(i)?.windows ?? []) {
      for (const { track_id } of detections) if (tracks.has(track_id)) firstUs.set(track_id, t_start_us);
    }
  }
  return (track) => `${((nowUs - (firstUs.get(track) ?? nowUs)) / 1e6).toFixed(1)} s`;
}
