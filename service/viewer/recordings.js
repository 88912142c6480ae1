/** Recordings of the user's own: each is uploaded into a session with a tile, and played there. */

import { runRecording } from "./api.js";
import { randomId } from "./ids.js";
import { askSize } from "./size_dialog.js";

/** Browsers open six connections to a service; what looks on at the uploads needs some of them, too. */
const AT_ONCE = 4;

export class Recordings {
  #wall;
  #choices;
  #onRefused;
  #running = /** @type {Map<import("./tile.js").Tile, AbortController>} */ (new Map());
  #uploading = 0;
  #waiting = /** @type {(() => void)[]} */ ([]);

  /**
   * @param {import("./wall.js").Wall} wall @param {() => object} choices for the next upload, such as `confidence`
   * @param {(name: string, problem: string) => void} onRefused receives files of which nothing could be run
   */
  constructor(wall, choices, onRefused) {
    this.#onRefused = onRefused;
    this.#wall = wall;
    this.#choices = choices;
  }

  /** @param {File[]} files */
  run(files) {
    for (const file of files) this.#run(file, {});
  }

  /** Break off what has no tile any more. */
  prune() {
    for (const [tile, control] of this.#running) if (!this.#wall.tiles.includes(tile)) control.abort();
  }

  /** @param {File} file @param {Record<string, number>} size width and height, if they had to be asked for */
  async #run(file, size) {
    const id = randomId();
    const tile = this.#wall.add(id, { name: file.name, recording: true });
    const control = new AbortController();
    this.#running.set(tile, control);
    const wanted = { watched_as: id, track: true, ...this.#choices(), ...size };
    await this.#turn();
    try {
      await runRecording(file, wanted, control.signal);
      tile.expectNoMore();
    } catch (error) {
      if (!control.signal.aborted) this.#fail(file, tile, /** @type {import("./api.js").Problem} */ (error));
    }
    this.#running.delete(tile);
    this.#next();
  }

  /** Fulfilled when one more may be uploaded. */
  async #turn() {
    if (this.#uploading < AT_ONCE) this.#uploading += 1;
    else await new Promise((go) => this.#waiting.push(() => go(null)));
  }

  /** Start the upload that has waited longest once another has ended. */
  #next() {
    const go = this.#waiting.shift();
    if (go) go();
    else this.#uploading -= 1;
  }

  /** @param {File} file @param {import("./tile.js").Tile} tile @param {import("./api.js").Problem} problem */
  async #fail(file, tile, problem) {
    tile.fail(problem.message);
    const nameless = problem.code === "bad_geometry" && /does not name its sensor size/.test(problem.message);
    const size = nameless && (await askSize(file.name));
    if (tile.reel.now) return;
    this.#wall.remove(tile);
    if (size) this.#run(file, size);
    else this.#onRefused(file.name, withoutName(problem.message, file.name));
  }
}

/** @param {string} problem @param {string} name that the problem may begin with */
const withoutName = (problem, name) => (problem.startsWith(`${name}: `) ? problem.slice(name.length + 2) : problem);
