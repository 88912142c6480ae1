/** Lines over stream time, by uPlot: axes, values under the pointer, zoom by dragging (double click: all again). */

import { colour } from "../canvas.js";
import { niceCeiling } from "./nice.js";

/** @typedef {{label: string, ink: string}} Line an ink is the name of a colour */

const HEIGHT_PX = 130;
const FONT = "11px system-ui, 'Liberation Sans', sans-serif";

export class Chart {
  #plot;
  #zoomed = false;

  /** @param {HTMLElement} root @param {Line[]} lines @param {(value: number) => string} write a value with its unit */
  constructor(root, lines, write) {
    this.#plot = new window.uPlot(this.#options(lines, write), [[], ...lines.map(() => [])], root);
    this.#plot.ctx.canvas.ariaLabel = root.ariaLabel;
    new ResizeObserver(() => this.#fit(root)).observe(root);
    this.#plot.over.addEventListener("dblclick", () => (this.#zoomed = false));
  }

  /** @param {number[]} timesS @param {number[][]} values of each line */
  show(timesS, values) {
    this.#plot.setData([timesS, ...values], !this.#zoomed);
    if (this.#zoomed) this.#plot.redraw();
  }

  /** @param {HTMLElement} root */
  #fit(root) {
    if (root.clientWidth) this.#plot.setSize({ width: root.clientWidth, height: HEIGHT_PX });
  }

  /** @param {Line[]} lines @param {(value: number) => string} write */
  #options(lines, write) {
    const axis = { stroke: () => colour("muted"), font: FONT, grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false } };
    const marks = (text) => (_, values) => values.map((value) => (value ? text(value).replace(/\.0+ /, " ") : text(0)));
    const seconds = (value) => `${Number(value.toFixed(2))} s`;
    return {
      width: 300,
      height: HEIGHT_PX,
      scales: { x: { time: false }, y: { range: (_, _least, most) => [0, niceCeiling(most)] } },
      axes: [
        { ...axis, values: marks(seconds), size: 24, space: 60 },
        { ...axis, values: marks(write), size: 56, space: 34 },
      ],
      series: [
        { label: "Time", value: (_, value) => (value === null ? "–" : seconds(value)) },
        ...lines.map(({ label, ink }) => ({
          label, stroke: () => colour(ink), width: 1.75, points: { show: false },
          value: (_, value) => (value === null ? "–" : write(value)),
        })),
      ],
      cursor: { y: false, points: { size: 7 } },
      hooks: { setSelect: [() => (this.#zoomed = true)] },
    };
  }
}
