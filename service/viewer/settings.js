/** Choices for the sessions and uploads that this page begins next. */

export class Settings {
  #page;

  /** @param {(id: string) => any} page finds an element */
  constructor(page) {
    this.#page = page;
  }

  /** Of sessions and uploads. @returns {{slice_us?: number, hop: number}} */
  get wanted() {
    const sliceMs = Number(this.#page("slice").value);
    return { ...(sliceMs && { slice_us: sliceMs * 1000 }), hop: this.#hop };
  }

  /** Of live sessions alone. @returns {{policy: string}} */
  get live() {
    return { policy: this.#page("policy").value };
  }

  get #hop() {
    const { valueAsNumber, min, max } = this.#page("hop");
    return Math.max(Number(min), Math.min(Number(max), Math.round(valueAsNumber) || 1));
  }
}
