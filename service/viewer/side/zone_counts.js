/** Counts of the zones of a session. */

import { setRows } from "./rows.js";

/** @typedef {import("../api.js").ZoneCount} ZoneCount */

/** @param {Record<string, number>} counts @returns {number} over all classes */
export const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** @param {(id: string) => HTMLElement} page @param {?import("../api.js").Window} window the newest at the moment shown */
export function showZones(page, window) {
  const zones = window?.zones ?? [];
  page("zones-card").hidden = !zones.length;
  setRows(
    page("zone-counts"),
    zones.map(({ zone, inside, entered, left, mean_dwell_s }) => ({
      ink: "var(--zone)",
      cells: [zone, ...[inside, entered, left].map((counts) => String(total(counts))), mean_dwell_s ? `${mean_dwell_s.toFixed(1)} s` : "–"],
    })),
  );
}
