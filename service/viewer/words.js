/** What the viewer says, and how it writes numbers. */

const MINUTE_US = 60e6;
const ENDINGS = {
  client: "its client ended it",
  disconnected: "its client disconnected",
  idle_timeout: "no bytes came for too long",
  shutdown: "the service stopped",
  interrupted: "the service was restarted",
};

/** @param {string} reason a session's closing reason */
export const ending = (reason) => ENDINGS[reason] ?? (reason ? `error ${reason}` : "no reason given");

/** @param {string} training how the weights came to be */
export const isUntrained = (training) => training.startsWith("untrained");

/** @param {string} training */
export const badgeText = (training) =>
  isUntrained(training) ? `${training} weights: boxes mean nothing` : `weights: ${training}`;

/** @param {import("./api.js").Model} model */
export const modelFacts = (model) => {
  const slices = model.slices === 1 ? "1 slice" : `${model.slices} slices`;
  return `${short(model.parameters)} parameters, ${slices} of ${model.slice_us / 1000} ms a window`;
};

/** @param {import("./api.js").Session} session */
export function sessionFacts(session) {
  const size = session.width ? ` ${session.width} × ${session.height}` : "";
  return `${session.format.toUpperCase()}${size}`;
}

/**
 * What a session is doing, where that is not what anyone expects.
 *
 * @param {import("./watch.js").State} state @param {string} detail
 */
export function stateText(state, detail) {
  switch (state) {
    case "connecting":
      return "connecting…";
    case "quiet":
      return "waiting for events";
    case "live":
      return "live";
    case "lost":
      return "connection lost, waiting for the service";
    case "paused":
      return `paused: ${ending(detail)}; waiting for its client`;
    case "closed":
      return detail === "client" ? "ended by its client" : `ended: ${ending(detail)}`;
    case "refused":
      return detail;
    default:
      return "";
  }
}

/** @param {{label: string}[]} found @returns {string} such as "2 cars, 1 pedestrian" */
export function countsOf(found) {
  const counts = new Map();
  for (const { label } of found) counts.set(label, (counts.get(label) ?? 0) + 1);
  const parts = [...counts].sort().map(([label, count]) => `${count} ${label}${count === 1 ? "" : "s"}`);
  return parts.join(", ") || "no boxes";
}

/** @param {number} value such as 123456 -> "123 k" */
export function short(value) {
  const [scale, unit] = value >= 1e6 ? [1e6, " M"] : value >= 1e4 ? [1e3, " k"] : [1, ""];
  return figures(value / scale) + unit;
}

/** @param {number} value a whole number */
export const whole = (value) => (value >= 1e4 ? short(value) : String(value));

/** @param {number} speed in times of real time */
export const times = (speed) => `${Number(speed.toPrecision(2))}×`;

/** @param {number} value with three figures or all before the point */
export const figures = (value) => (value === 0 ? "0" : value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** @param {number} ms */
export const duration = (ms) => (ms >= 1000 ? `${figures(ms / 1000)} s` : `${figures(ms)} ms`);

/**
 * Time in the stream to a hundredth of a second, such as "2.40 s", "2.40 / 3.00 s" or "1:02.40 min".
 *
 * @param {number} us @param {number} [wholeUs] of all
 */
export function clock(us, wholeUs) {
  const unit = Math.max(us, wholeUs ?? 0) < MINUTE_US ? "s" : "min";
  const text = (time) => (unit === "s" ? (time / 1e6).toFixed(2) : minutes(time));
  return `${text(us)}${wholeUs === undefined ? "" : ` / ${text(wholeUs)}`} ${unit}`;
}

/** @param {number} us */
const minutes = (us) => `${Math.floor(us / MINUTE_US)}:${((us % MINUTE_US) / 1e6).toFixed(2).padStart(5, "0")}`;

/** Without zeros that say nothing. @param {number} us a round time */
export const shortClock = (us) =>
  us < MINUTE_US ? `${Number((us / 1e6).toFixed(2))} s` : minutes(us).replace(/\.00$/, "");

/** @param {number} mj millijoules */
export const joules = (mj) => (mj < 1000 ? `${figures(mj)} mJ` : `${figures(mj / 1000)} J`);

/** @param {number} rate 0 to 1 */
export const percent = (rate) => `${(rate * 100).toFixed(1)} %`;

/** @param {number} watt */
export const watts = (watt) => (watt < 1 ? `${figures(watt * 1000)} mW` : `${figures(watt)} W`);
