/** How fast a recording is run: stream time for a unit of time, from the first slice that came to the last. */

export class Pace {
  #first = /** @type {?{us: number, ms: number}} */ (null);
  #last = { us: 0, ms: 0 };

  /** @param {import("./api.js").Slice} slice @param {number} ms now */
  add({ t1_us }, ms) {
    this.#last = { us: t1_us, ms };
    this.#first ??= this.#last;
  }

  /** In times of real time; 0 as yet unknown. */
  get speed() {
    const ms = this.#first ? this.#last.ms - this.#first.ms : 0;
    return this.#first && ms > 0 ? (this.#last.us - this.#first.us) / 1000 / ms : 0;
  }
}
