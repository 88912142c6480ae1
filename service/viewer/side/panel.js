/** The side column: objects, zones, energy and figures of one session, up to the moment that its tile shows. */

import { Chart } from "../charts/chart.js";
import { HeatMap } from "../charts/heatmap.js";
import { duration, percent, watts } from "../words.js";
import { lately, power } from "./figures.js";
import { meters } from "./meters.js";
import { Objects } from "./objects.js";
import { setRows } from "./rows.js";
import { showZones } from "./zone_counts.js";

const PLOT_WINDOWS = 120;

export class Panel {
  #page;
  #objects;
  #power;
  #latency;
  #heat;

  /** @param {(id: string) => any} page finds an element */
  constructor(page) {
    this.#page = page;
    this.#objects = new Objects(page);
    const lines = [{ label: "spiking", ink: "snn" }, { label: "as ANN", ink: "ann" }];
    this.#power = new Chart(page("power-plot"), lines, watts);
    this.#latency = new Chart(page("latency-plot"), [{ label: "latency", ink: "rate" }], duration);
    this.#heat = new HeatMap(page("heat-map"), page("heat-note"), PLOT_WINDOWS);
  }

  /** @param {?import("../tile.js").Tile} tile */
  show(tile) {
    if (!tile) return;
    const { reel, session } = tile;
    const windows = reel.windows(PLOT_WINDOWS);
    const now = lately(windows, session);
    this.#objects.show(reel, tile.boxes);
    showZones(this.#page, reel.now?.latest ?? null);
    this.#showSaving(now);
    setRows(this.#page("meters"), meters(tile, now));
    this.#page("latency-card").hidden = tile.recorded;
    this.#plot(tile, windows);
    this.#say("rate", now ? `${percent(now.firingRate)} of neurons spike at a step` : "");
  }

  /** Only what is unfolded. @param {import("../tile.js").Tile} tile @param {import("../api.js").Window[]} windows */
  #plot({ reel, session }, windows) {
    const timesS = windows.map((window) => reel.sinceStart(window.t_end_us) / 1e6);
    const watt = windows.map((window) => power(window, session));
    if (this.#page("power-card").open) this.#power.show(timesS, [watt.map(({ snn }) => snn), watt.map(({ ann }) => ann)]);
    if (this.#page("latency-card").open) this.#latency.show(timesS, [windows.map((window) => window.latency_ms)]);
    if (this.#page("network-card").open) this.#heat.show(windows);
  }

  /** @param {ReturnType<typeof lately>} now */
  #showSaving(now) {
    this.#page("saving-card").hidden = !(now && now.snnW > 0 && now.annW > 0);
    if (!now || !now.snnW) return;
    const less = now.snnW < now.annW;
    this.#say("saving", `${(less ? now.annW / now.snnW : now.snnW / now.annW).toFixed(1)}×`);
    this.#say("saving-what", `${less ? "less" : "more"} energy than without spikes`);
    this.#say("saving-note", `${watts(now.snnW)} instead of ${watts(now.annW)}, estimated`);
  }

  /** @param {string} id @param {string} text */
  #say(id, text) {
    if (this.#page(id).textContent !== text) this.#page(id).textContent = text;
  }
}
