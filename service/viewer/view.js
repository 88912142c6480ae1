/** Which part of the sensor is seen: a zoom of 1 to MOST about a centre, in sensor pixels. */

const MOST = 8;

export class View {
  #sensor = [304, 240];
  #centre = [152, 120];
  zoom = 1;

  /** @param {[number, number]} sensor width and height */
  fit(sensor) {
    this.#sensor = sensor;
    this.reset();
  }

  reset() {
    this.zoom = 1;
    this.#centre = [this.#sensor[0] / 2, this.#sensor[1] / 2];
  }

  get sensor() {
    return this.#sensor;
  }

  /** What is seen, in sensor pixels. @returns {{x: number, y: number, w: number, h: number}} */
  get seen() {
    const [w, h] = this.#sensor.map((side) => side / this.zoom);
    return { x: this.#centre[0] - w / 2, y: this.#centre[1] - h / 2, w, h };
  }

  /** @param {number} width of the sheet in CSS pixels @returns {number} CSS pixels for a sensor pixel */
  scale(width) {
    return (width / this.#sensor[0]) * this.zoom;
  }

  /** @param {number} u @param {number} v shares of the sheet @returns {[number, number]} in sensor pixels */
  placeAt(u, v) {
    const { x, y, w, h } = this.seen;
    return [x + u * w, y + v * h];
  }

  /**
   * @param {number} factor
   * @param {[number, number]} [still] the place that does not move, as shares of the sheet
   */
  zoomBy(factor, [u, v] = [0.5, 0.5]) {
    const before = this.seen;
    this.zoom = Math.max(1, Math.min(MOST, this.zoom * factor));
    const after = this.seen;
    this.#centre[0] += (u - 0.5) * (before.w - after.w);
    this.#centre[1] += (v - 0.5) * (before.h - after.h);
    this.#stayInside();
  }

  /** @param {number} u @param {number} v shares of the sheet by which what is seen moves */
  pan(u, v) {
    this.#centre[0] -= u * this.seen.w;
    this.#centre[1] -= v * this.seen.h;
    this.#stayInside();
  }

  #stayInside() {
    const { w, h } = this.seen;
    const inside = (value, half, side) => Math.max(half, Math.min(side - half, value));
    this.#centre = [inside(this.#centre[0], w / 2, this.#sensor[0]), inside(this.#centre[1], h / 2, this.#sensor[1])];
  }
}
