/** Numbers and plots of the windows that came lately. */

import { LayerBars } from "./layers.js";
import { LinePlot } from "./plots.js";
import { duration, figures, percent, short } from "./words.js";

export const PLOT_WINDOWS = 80;
const RATE_WINDOWS = 12;

export class Measurements {
  #page;
  #energy;
  #rate;
  #layers;
  #history = /** @type {{window: import("./api.js").Window, spanS: number, atMs: number}[]} */ ([]);

  /** @param {(id: string) => HTMLElement} page finds an element */
  constructor(page) {
    this.#page = page;
    const canvas = (id) => /** @type {HTMLCanvasElement} */ (page(id));
    this.#energy = new LinePlot(canvas("energy-plot"), PLOT_WINDOWS, " mJ");
    this.#rate = new LinePlot(canvas("rate-plot"), PLOT_WINDOWS, " %");
    this.#layers = new LayerBars(canvas("layer-plot"), page("layer-note"));
  }

  clear() {
    this.#history = [];
    for (const id of ["events-rate", "windows-rate", "latency", "dropped", "snn", "ann", "rate"]) this.#say(id, "–");
    this.#say("saving", "\u00a0");
    this.#say("windows-note", "results as they arrive");
    this.#tellDropped(0);
    this.#say("dropped", "–");
    this.#plot();
    this.#layers.show({});
  }

  /** @param {import("./api.js").Window} window @param {import("./api.js").Session} [session] if it is known */
  add(window, session) {
    const spanS = secondsOfWork(window, session);
    this.#history.push({ window, spanS, atMs: performance.now() });
    this.#history = this.#history.slice(-PLOT_WINDOWS);
    this.#tellRates(session);
    this.#say("latency", duration(window.latency_ms));
    this.#tellDropped(window.dropped_windows);
    this.#tellEnergy(window.energy_mj, spanS);
    this.#say("rate", percent(window.firing_rate));
    this.#plot();
    this.#layers.show(window.layer_rates);
  }

  #plot() {
    const values = (pick) => this.#history.map(({ window }) => pick(window));
    this.#energy.show([
      { ink: "ann", values: values((window) => window.energy_mj.ann) },
      { ink: "snn", values: values((window) => window.energy_mj.snn) },
    ]);
    this.#rate.show([{ ink: "rate", values: values((window) => window.firing_rate * 100) }]);
  }

  /** @param {import("./api.js").Session} [session] */
  #tellRates(session) {
    const recent = this.#history.slice(-RATE_WINDOWS);
    const sum = (pick) => recent.reduce((total, entry) => total + pick(entry), 0);
    this.#say("events-rate", short(sum((entry) => entry.window.events) / sum((entry) => entry.spanS)));
    if (recent.length < 3) return;
    const elapsedS = (recent[recent.length - 1].atMs - recent[0].atMs) / 1000;
    this.#say("windows-rate", figures((recent.length - 1) / elapsedS));
    if (session) this.#say("windows-note", `real time is ${figures(1e6 / (session.hop * session.slice_us))}`);
  }

  /** @param {number} count */
  #tellDropped(count) {
    this.#say("dropped", String(count));
    this.#page("dropped").classList.toggle("warn", count > 0);
    this.#say("dropped-note", count > 0 ? "events came too fast" : "since the session began");
  }

  /** @param {{snn: number, ann: number}} energy in mJ @param {number} spanS */
  #tellEnergy({ snn, ann }, spanS) {
    this.#say("snn", `${figures(snn)} mJ, ${figures(snn / spanS)} mW`);
    this.#say("ann", `${figures(ann)} mJ, ${figures(ann / spanS)} mW`);
    const comparison = snn < ann ? `${(ann / snn).toFixed(1)} × less` : `${(snn / ann).toFixed(1)} × more`;
    this.#say("saving", snn > 0 && ann > 0 ? `Spiking: ${comparison} energy than as ANN` : "\u00a0");
  }

  /** @param {string} id @param {string} text */
  #say(id, text) {
    this.#page(id).textContent = text;
  }
}

/**
 * Stream time that a window's events and energy belong to. Windows may overlap (a hop shorter than they are),
 * have gaps where slices were dropped, or be cut short by a flush.
 *
 * @param {import("./api.js").Window} window @param {import("./api.js").Session} [session]
 */
function secondsOfWork(window, session) {
  const span = window.t_end_us - window.t_start_us;
  return (session ? Math.min(span, session.hop * session.slice_us) : span) / 1e6;
}
