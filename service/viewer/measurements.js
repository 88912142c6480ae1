/** Numbers and plots of one session, of the windows up to the moment that its tile shows. */

import { lately, power } from "./figures.js";
import { HeatMap } from "./heatmap.js";
import { LinePlot } from "./plots.js";
import { duration, percent, short, watts } from "./words.js";

export const PLOT_WINDOWS = 120;

export class Measurements {
  #page;
  #power;
  #latency;
  #heat;

  /** @param {(id: string) => HTMLElement} page finds an element */
  constructor(page) {
    this.#page = page;
    const canvas = (id) => /** @type {HTMLCanvasElement} */ (page(id));
    this.#power = new LinePlot(canvas("power-plot"), PLOT_WINDOWS, watts);
    this.#latency = new LinePlot(canvas("latency-plot"), PLOT_WINDOWS, duration);
    this.#heat = new HeatMap(canvas("heat-map"), page("heat-note"), PLOT_WINDOWS);
  }

  /** @param {import("./api.js").Window[]} windows oldest first @param {?import("./api.js").Session} session */
  show(windows, session) {
    const values = (pick) => windows.map(pick);
    this.#power.show([
      { ink: "ann", values: values((window) => power(window, session).ann) },
      { ink: "snn", values: values((window) => power(window, session).snn) },
    ]);
    this.#latency.show([{ ink: "rate", values: values((window) => window.latency_ms) }]);
    this.#heat.show(windows);
    this.#tell(lately(windows, session), session?.policy === "block");
  }

  /** @param {ReturnType<typeof lately>} now @param {boolean} waits whether slices wait rather than being dropped */
  #tell(now, waits) {
    this.#say("events-rate", now ? short(now.eventsPerS) : "–");
    this.#say("rate", now ? percent(now.firingRate) : "–");
    this.#say("latency", now ? duration(now.latencyMs) : "–");
    this.#say("latency-note", now ? `slowest ${duration(now.slowestMs)}${waits ? ", with waiting" : ""}` : "last byte to result");
    this.#say("dropped", now ? String(now.dropped) : "–");
    this.#page("dropped").classList.toggle("warn", Boolean(now?.dropped));
    this.#say("dropped-note", now?.dropped ? "events came too fast" : "since the session began");
    this.#say("snn", now ? watts(now.snnW) : "–");
    this.#say("ann", now ? watts(now.annW) : "–");
    this.#say("saving", now && now.snnW > 0 && now.annW > 0 ? saving(now.snnW, now.annW) : "\u00a0");
  }

  /** @param {string} id @param {string} text */
  #say(id, text) {
    if (this.#page(id).textContent !== text) this.#page(id).textContent = text;
  }
}

/** @param {number} snn @param {number} ann */
const saving = (snn, ann) =>
  snn < ann ? `Spiking needs ${(ann / snn).toFixed(1)} × less` : `Spiking needs ${(snn / ann).toFixed(1)} × more`;
