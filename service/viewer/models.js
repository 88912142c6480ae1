/** Which weights this page asks for: the service's own choice, or the user's where there are several. */

import { listModels } from "./api.js";

/** @typedef {import("./api.js").Model} Model */

export class Models {
  #choice;
  #known = /** @type {Model[]} */ ([]);

  /** @param {HTMLSelectElement} choice @param {() => void} onChange called on another choice */
  constructor(choice, onChange) {
    this.#choice = choice;
    choice.addEventListener("change", onChange);
  }

  /** Ask which there are; shows the choice if it is one. */
  async load() {
    this.#known = await listModels();
    this.#choice.replaceChildren(...this.#known.map(({ name }) => new Option(name)));
    document.body.classList.toggle("several", this.#known.length > 1);
  }

  /** @returns {?Model} the one that is chosen */
  get chosen() {
    return this.#known[this.#choice.selectedIndex] ?? null;
  }

  /** @returns {{weights?: string}} what to say when a session or an upload is begun */
  get wanted() {
    return this.#known.length > 1 && this.chosen ? { weights: this.chosen.name } : {};
  }
}
