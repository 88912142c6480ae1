/** Canvases that are as sharp as the screen, drawn in CSS pixels with the style sheet's colours. */

/** @typedef {{pen: CanvasRenderingContext2D, width: number, height: number}} Sheet */

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Sheet} an empty sheet of the size at which the canvas is shown
 */
export function freshSheet(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(ratio, ratio);
  pen.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  return { pen, width, height };
}

/** @param {string} name of a custom property, without its dashes */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** @param {HTMLCanvasElement} canvas @param {() => void} draw called whenever the canvas changes its size */
export const redrawOnResize = (canvas, draw) => new ResizeObserver(draw).observe(canvas);
