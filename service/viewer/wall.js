/** The sessions that are shown, side by side; one of them is selected: keys and measurements are about it. */

import { isSame, ownPart } from "./ids.js";
import { Tile } from "./tile.js";

/** Tiles that fill up by themselves; more can be asked for. */
const FULL = matchMedia("(max-width: 900px)").matches ? 2 : 4;

export class Wall {
  #root;
  #tiles = /** @type {Tile[]} */ ([]);
  #selected = /** @type {?Tile} */ (null);
  #confidence;
  #look;
  #unwanted = /** @type {Set<string>} */ (new Set());
  #onChange;
  #onShown;
  #onClick;
  #drafts;
  #tickMs = performance.now();

  /**
   * @param {HTMLElement} root @param {number} confidence @param {import("./look.js").Look} look
   * @param {{onChange: () => void, onShown: (tile: ?Tile) => void, onClick: (place: [number, number]) => void,
   *   drafts: () => import("./api.js").Zone[]}} handlers called when tiles come, go or are selected; when the selected one
   *   shows another moment or is clicked, in sensor pixels; `drafts` are zones to draw over the selected one
   */
  constructor(root, confidence, look, { onChange, onShown, onClick, drafts }) {
    this.#root = root;
    this.#confidence = confidence;
    this.#look = look;
    this.#onChange = onChange;
    this.#onShown = onShown;
    this.#onClick = onClick;
    this.#drafts = drafts;
    requestAnimationFrame((nowMs) => this.#tick(nowMs));
  }

  get tiles() {
    return this.#tiles;
  }

  get selected() {
    return this.#selected;
  }

  /** @param {string} id @returns {Tile | undefined} */
  find(id) {
    return this.#tiles.find((tile) => isSame(tile.id, id));
  }

  /** @param {string} id of a session @param {import("./tile.js").Origin} [origin] @returns {Tile} */
  add(id, origin = {}) {
    const tile = new Tile(id, origin, this.#confidence, this.#look, {
      onSelect: (chosen) => this.select(chosen),
      onClose: (closed) => this.remove(closed),
      onSession: () => this.#onChange(),
      onClick: (clicked, place) => clicked === this.#selected && this.#onClick(place),
      drafts: (drawn) => (drawn === this.#selected ? this.#drafts() : []),
      onEnd: (ended) => this.#putLast(ended),
      onShown: (shown) => shown === this.#selected && this.#onShown(shown),
    });
    this.#unwanted.delete(ownPart(id));
    const behind = origin.recording ? -1 : this.#tiles.findIndex((other) => other.ended || other.recorded);
    const place = behind < 0 ? this.#tiles.length : behind;
    this.#root.insertBefore(tile.root, this.#tiles[place]?.root ?? null);
    this.#tiles.splice(place, 0, tile);
    this.#changed();
    if (!this.#selected || origin.name) this.select(tile);
    return tile;
  }

  /**
   * Show open sessions by themselves, also those that come back, as far as there is room; ended ones make room.
   *
   * @param {string[]} ids
   */
  fill(ids) {
    for (const tile of this.#tiles) tile.look(ids.some((id) => isSame(id, tile.id)));
    for (const id of ids) {
      if (this.find(id) || this.#unwanted.has(ownPart(id))) continue;
      if (this.#tiles.length >= FULL) {
        const ended = this.#tiles.find((tile) => tile.ended && tile !== this.#selected);
        if (!ended) return;
        this.remove(ended);
      }
      this.add(id);
    }
  }

  /** Live sessions come first. @param {Tile} tile that has ended */
  #putLast(tile) {
    const after = this.#tiles.slice(this.#tiles.indexOf(tile) + 1);
    if (tile.recorded || after.every((other) => other.ended)) return;
    const focused = /** @type {?HTMLElement} */ (tile.root.contains(document.activeElement) ? document.activeElement : null);
    this.#tiles = [...this.#tiles.filter((other) => other !== tile), tile];
    this.#root.append(tile.root);
    focused?.focus();
  }

  /** Taken off while it runs it stays off, else it comes back with its session. @param {Tile} tile */
  remove(tile) {
    if (!tile.ended && tile.state !== "paused") this.#unwanted.add(ownPart(tile.id));
    tile.close();
    this.#tiles = this.#tiles.filter((other) => other !== tile);
    if (tile === this.#selected) {
      this.#selected = null;
      if (this.#tiles.length) this.select(this.#tiles[0]);
      else this.#onShown(null);
    }
    this.#changed();
  }

  /** @param {Tile} tile */
  select(tile) {
    if (tile === this.#selected) return;
    this.#selected = tile;
    for (const other of this.#tiles) other.setSelected(other === tile);
    this.#onShown(tile);
    this.#onChange();
  }

  /** @param {number} confidence */
  setConfidence(confidence) {
    this.#confidence = confidence;
    for (const tile of this.#tiles) tile.setConfidence(confidence);
  }

  #changed() {
    this.#root.dataset.count = String(Math.min(4, this.#tiles.length));
    document.body.classList.toggle("empty", this.#tiles.length === 0);
    this.#onChange();
  }

  /** @param {number} nowMs */
  #tick(nowMs) {
    for (const tile of this.#tiles) tile.tick(nowMs - this.#tickMs, nowMs);
    this.#tickMs = nowMs;
    requestAnimationFrame((laterMs) => this.#tick(laterMs));
  }
}
