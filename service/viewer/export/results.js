/** Results of a session as files: NDJSON as the service writes it, and a COCO results file. Pure: a reel in, text out. */

/** @typedef {import("../reel.js").Reel} Reel */

/** @param {Reel} reel @returns {import("../api.js").Window[]} all that are kept, oldest first */
function windowsOf(reel) {
  const windows = [];
  for (let i = reel.first; i <= reel.last; i++) windows.push(...(reel.moment(i)?.windows ?? []));
  return windows;
}

/** One result a line. @param {Reel} reel */
export const toNdjson = (reel) => windowsOf(reel).map((window) => `${JSON.stringify(withoutRates(window))}\n`).join("");

/** One dictionary a box; `image_id` is the result's `seq`, categories count from 1. @param {Reel} reel */
export const toCoco = (reel) =>
  JSON.stringify(
    windowsOf(reel).flatMap(({ seq, detections }) =>
      detections.map(({ x, y, w, h, class_id, confidence }) => ({
        image_id: seq,
        category_id: class_id + 1,
        bbox: [x, y, w, h],
        score: confidence,
      })),
    ),
  );

/** What only watchers get is left out. @param {any} window */
function withoutRates({ type, layer_rates, ...result }) {
  return result;
}
