/** The menu of a tile by which its picture and results leave the page. */

import { clock } from "../words.js";
import { toCoco, toNdjson } from "./results.js";
import { save } from "./save.js";
import { record, videoKind } from "./video.js";

export class WaysOut {
  #tile;
  #part;
  #stop = /** @type {?() => Promise<Blob>} */ (null);
  #kind = videoKind();

  /** @param {import("../tile.js").Tile} tile @param {(name: string) => any} part finds an element by its class */
  constructor(tile, part) {
    this.#tile = tile;
    this.#part = part;
    const text = (make, type) => new Blob([make(tile.reel)], { type });
    part("save-ndjson").addEventListener("click", () => save(text(toNdjson, "application/x-ndjson"), this.#name("ndjson")));
    part("save-coco").addEventListener("click", () => save(text(toCoco, "application/json"), this.#name("coco.json")));
    part("save-png").addEventListener("click", () => this.#savePicture());
    part("save-video").addEventListener("click", () => this.#toggleVideo());
    part("fullscreen").addEventListener("click", () => toggleFullScreen(tile.root));
    part("save-video").hidden = !this.#kind;
    this.#nameVideo();
    if (tile.recorded) part("session-link").remove();
    else part("session-link").href = `?session=${encodeURIComponent(tile.id)}`;
  }

  /** The recording has come to its end. */
  finish() {
    if (this.#stop) this.#toggleVideo();
  }

  /** @param {string} ending */
  #name = (ending) => `${this.#tile.name.replace(/\.\w+$/, "")}.${ending}`;

  async #savePicture() {
    const { reel } = this.#tile;
    const at = reel.now ? `-${clock(reel.since(reel.now))}` : "";
    const canvas = /** @type {HTMLCanvasElement} */ (this.#part("sheet"));
    canvas.toBlob((blob) => blob && save(blob, this.#name(`${at.slice(1)}.png`)), "image/png");
  }

  async #toggleVideo() {
    if (!this.#kind) return;
    const stop = this.#stop;
    this.#stop = stop ? null : record(this.#part("sheet"), this.#kind.mime);
    this.#nameVideo();
    if (stop) save(await stop(), this.#name(this.#kind.ending));
    else this.#tile.playFromStart();
  }

  #nameVideo() {
    const kind = this.#kind?.ending === "mp4" ? "MP4" : "WebM";
    this.#part("save-video").textContent = this.#stop ? `Stop and save ${kind}` : `Record ${kind}`;
  }
}

/** @param {HTMLElement} element */
export function toggleFullScreen(element) {
  if (document.fullscreenElement) document.exitFullscreen();
  else element.requestFullscreen();
}
