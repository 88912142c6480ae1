/** Zones and lines drawn by hand: click corners in the selected picture, give a name, use or export them. */

import { save } from "../export/save.js";

/** @typedef {import("../api.js").Zone} Zone */
/** @typedef {[number, number]} Point */

const MOST_ZONES = 8;
const MOST_CORNERS = 64;
const NAME = /^[A-Za-z0-9_-]{1,32}$/;

export class ZoneEditor {
  #page;
  #corners = /** @type {Point[]} */ ([]);
  #onChange;
  zones = /** @type {Zone[]} */ ([]);

  /** @param {(id: string) => any} page finds an element @param {() => void} onChange called when there is more or less to draw */
  constructor(page, onChange) {
    this.#page = page;
    this.#onChange = onChange;
    page("zone-editor").addEventListener("toggle", () => this.#show());
    page("zone-name").addEventListener("input", () => this.#show());
    page("zone-area").addEventListener("click", () => this.#add("polygon"));
    page("zone-line").addEventListener("click", () => this.#add("line"));
    page("zone-undo").addEventListener("click", () => this.#undo());
    page("zone-export").addEventListener("click", () => save(this.#file(), "zones.json"));
    this.#show();
  }

  get active() {
    return this.#page("zone-editor").open;
  }

  /** What is drawn over the selected picture: the zones and the corners of the next. */
  get drafts() {
    const corners = this.#corners;
    const next = corners.length ? [{ name: this.#page("zone-name").value || "new", line: corners }] : [];
    return this.active ? [...this.zones, ...next] : [];
  }

  /** @param {Point} place in sensor pixels */
  click([x, y]) {
    if (!this.active || this.#corners.length >= MOST_CORNERS) return;
    this.#corners.push([Math.round(x), Math.round(y)]);
    this.#show();
  }

  /** @param {"polygon" | "line"} kind */
  #add(kind) {
    this.zones.push({ name: this.#page("zone-name").value, [kind]: this.#corners });
    this.#corners = [];
    this.#page("zone-name").value = "";
    this.#show();
  }

  /** Take away the last corner, or the last zone. */
  #undo() {
    if (this.#corners.length) this.#corners.pop();
    else this.zones.pop();
    this.#show();
  }

  #file = () => new Blob([`${JSON.stringify(this.zones, null, 2)}\n`], { type: "application/json" });

  #show() {
    const name = this.#page("zone-name").value;
    const named = NAME.test(name) && !this.zones.some((zone) => zone.name === name) && this.zones.length < MOST_ZONES;
    const [count, made] = [this.#corners.length, this.zones.length];
    this.#page("zone-area").disabled = !named || count < 3;
    this.#page("zone-line").disabled = !named || count !== 2;
    this.#page("zone-undo").disabled = !count && !made;
    this.#page("zone-export").disabled = !made;
    this.#page("zone-state").textContent = `${count} ${count === 1 ? "corner" : "corners"}; ${made} of ${MOST_ZONES} zones: ${this.zones.map((zone) => zone.name).join(", ") || "none"}`;
    this.#onChange();
  }
}
