/** What the viewer says, and how it writes numbers. */

const ENDINGS = {
  client: "its client ended it",
  disconnected: "its client disconnected",
  idle_timeout: "no bytes came for too long",
  shutdown: "the service is stopping",
};

/** @param {string} reason a session's closing reason */
export const ending = (reason) => ENDINGS[reason] ?? (reason ? `error ${reason}` : "no reason given");

/** @param {string} id a session's id, shortened for people */
export const shortId = (id) => id.slice(0, 8);

/** @param {string} training how the weights came to be */
export const isUntrained = (training) => training.startsWith("untrained");

/** @param {string} training */
export const badgeText = (training) =>
  isUntrained(training) ? `${training} weights: boxes mean nothing` : `weights: ${training}`;

/** @param {import("./api.js").Model} model */
export const modelFacts = (model) =>
  `${short(model.parameters)} parameters, ${model.slices} slices of ${model.slice_us / 1000} ms a window`;

/** @param {import("./api.js").Session} session */
export function sessionName(session) {
  const size = session.width ? ` ${session.width} × ${session.height}` : "";
  return `${shortId(session.session_id)}, ${session.format.toUpperCase()}${size}`;
}

/**
 * @param {import("./api.js").Detection[]} found
 * @param {number} [confidence] the session's threshold
 */
export function boxCount(found, confidence) {
  const count = found.length === 0 ? "no boxes" : found.length === 1 ? "1 box" : `${found.length} boxes`;
  return confidence === undefined ? count : `${count} above confidence ${confidence}`;
}

/** @param {number} value such as 123456 -> "123 k" */
export function short(value) {
  const [scale, unit] = value >= 1e6 ? [1e6, " M"] : value >= 1e4 ? [1e3, " k"] : [1, ""];
  return figures(value / scale) + unit;
}

/** @param {number} value with three figures or all before the point */
export const figures = (value) => (value === 0 ? "0" : value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** @param {number} ms */
export const duration = (ms) => (ms >= 1000 ? `${figures(ms / 1000)} s` : `${figures(ms)} ms`);

/** @param {number} us time in the stream */
export const seconds = (us) => `${(us / 1e6).toFixed(3)} s`;

/** @param {number} rate 0 to 1 */
export const percent = (rate) => `${(rate * 100).toFixed(1)} %`;
