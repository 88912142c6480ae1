/** How fast a tile plays, in times of the camera's rate. */

export const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];

/** @param {number} speed @param {number} steps faster, or slower @returns {number} */
export function faster(speed, steps) {
  const place = SPEEDS.indexOf(speed) + steps;
  return SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, place))];
}

/** @param {HTMLSelectElement} choice @param {(speed: number) => void} onChange */
export function offerSpeeds(choice, onChange) {
  choice.replaceChildren(...SPEEDS.map((speed) => new Option(`${speed}×`, String(speed), speed === 1, speed === 1)));
  choice.addEventListener("change", () => onChange(Number(choice.value)));
}
