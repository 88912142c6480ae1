/**
 * How events look: colours, how long they stay, which polarities.
 *
 * @typedef {[number, number, number]} Rgb
 * @typedef {{ground: Rgb, off: Rgb, on: Rgb}} Palette
 */

/** @type {Record<string, Palette>} */
export const PALETTES = {
  dark: { ground: [13, 17, 23], off: [90, 150, 240], on: [230, 240, 250] },
  light: { ground: [247, 248, 250], off: [200, 96, 32], on: [24, 62, 130] },
  "red-blue": { ground: [10, 10, 14], off: [70, 130, 255], on: [255, 84, 74] },
  grey: { ground: [122, 122, 122], off: [0, 0, 0], on: [255, 255, 255] },
};

export class Look {
  palette = PALETTES.dark;
  /** Time after which an event is 1/e as bright. */
  fadeUs = 100_000;
  off = true;
  on = true;

  /**
   * @param {(id: string) => any} page finds an element @param {() => void} onChange
   */
  constructor(page, onChange) {
    page("palette").replaceChildren(...Object.keys(PALETTES).map((name) => new Option(name)));
    for (const id of ["palette", "fade", "show-on", "show-off"]) {
      page(id).addEventListener("change", () => {
        this.#read(page);
        onChange();
      });
    }
    this.#read(page);
  }

  /** @param {(id: string) => any} page */
  #read(page) {
    this.palette = PALETTES[page("palette").value];
    this.fadeUs = Number(page("fade").value) * 1000;
    this.on = page("show-on").checked;
    this.off = page("show-off").checked;
    document.documentElement.style.setProperty("--on", css(this.palette.on));
    document.documentElement.style.setProperty("--off", css(this.palette.off));
    document.documentElement.style.setProperty("--sheet", css(this.palette.ground));
  }
}

/** @param {Rgb} rgb */
const css = (rgb) => `rgb(${rgb.join(" ")})`;
