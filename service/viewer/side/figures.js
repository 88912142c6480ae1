/** What windows say of a session: rates, power, latency, drops. Pure: windows in, numbers out. */

/** Windows over which figures are taken. */
export const RECENT = 20;

/**
 * Stream time that a window's events and energy belong to. Windows may overlap (a hop shorter than they are),
 * have gaps where slices were dropped, or be cut short by a flush.
 *
 * @param {import("../api.js").Window} window @param {?import("../api.js").Session} session
 */
export function secondsOfWork(window, session) {
  const span = window.t_end_us - window.t_start_us;
  return (session ? Math.min(span, session.hop * session.slice_us) : span) / 1e6;
}

/**
 * Power in watts if the session ran for ever as in this window: mJ over s are mW.
 *
 * @param {import("../api.js").Window} window @param {?import("../api.js").Session} session
 */
export function power(window, session) {
  const spanS = secondsOfWork(window, session);
  return { snn: window.energy_mj.snn / spanS / 1000, ann: window.energy_mj.ann / spanS / 1000 };
}

/**
 * @param {import("../api.js").Window[]} windows oldest first @param {?import("../api.js").Session} session
 * @returns {?{eventsPerS: number, latencyMs: number, slowestMs: number, dropped: number, snnW: number, annW: number,
 *   firingRate: number}} over the last windows
 */
export function lately(windows, session) {
  const recent = windows.slice(-RECENT);
  const last = recent[recent.length - 1];
  if (!last) return null;
  const sum = (pick) => recent.reduce((total, window) => total + pick(window), 0);
  const spanS = sum((window) => secondsOfWork(window, session));
  return {
    eventsPerS: sum((window) => window.events) / spanS,
    latencyMs: sum((window) => window.latency_ms) / recent.length,
    slowestMs: Math.max(...recent.map((window) => window.latency_ms)),
    dropped: last.dropped_windows,
    snnW: sum((window) => window.energy_mj.snn) / spanS / 1000,
    annW: sum((window) => window.energy_mj.ann) / spanS / 1000,
    firingRate: sum((window) => window.firing_rate) / recent.length,
  };
}
