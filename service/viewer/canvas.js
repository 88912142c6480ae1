/** Canvases that are as sharp as the screen, drawn in CSS pixels with the style sheet's colours. */

/** @typedef {{pen: CanvasRenderingContext2D, width: number, height: number}} Sheet */

const colours = /** @type {Map<string, string>} */ (new Map());

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Sheet} an empty sheet of the size at which the canvas is shown
 */
export function freshSheet(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, 'Liberation Sans', sans-serif";
  return { pen, width, height };
}

/** @param {string} name of a custom property, without its dashes */
export function colour(name) {
  let value = colours.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    colours.set(name, value);
  }
  return value;
}

/** The page has others now. */
export const forgetColours = () => colours.clear();

/** @param {HTMLCanvasElement} canvas @param {() => void} draw called whenever the canvas changes its size */
export function redrawOnResize(canvas, draw) {
  const observer = new ResizeObserver(draw);
  observer.observe(canvas);
  return observer;
}
