/** What all that is kept of a session comes to. Pure: a reel in, numbers out. */

/**
 * @typedef {{spanS: number, boxes: number, objects: number, snnMj: number, annMj: number}} Run stream time, boxes
 *   and tracks that are shown, estimated energy
 * @param {import("../reel.js").Reel} reel @param {(box: import("../api.js").Detection) => boolean} shown
 * @returns {?Run}
 */
export function runOf(reel, shown) {
  const tracks = new Set();
  const run = { spanS: 0, boxes: 0, objects: 0, snnMj: 0, annMj: 0 };
  for (let i = reel.first; i <= reel.last; i++) {
    const { slice, windows } = /** @type {import("../reel.js").Moment} */ (reel.moment(i));
    run.spanS += (slice.t1_us - slice.t0_us) / 1e6;
    for (const { detections, energy_mj } of windows) {
      run.snnMj += energy_mj.snn;
      run.annMj += energy_mj.ann;
      for (const box of detections.filter(shown)) {
        run.boxes += 1;
        if (box.track_id) tracks.add(box.track_id);
      }
    }
  }
  run.objects = tracks.size;
  return run.spanS ? run : null;
}
