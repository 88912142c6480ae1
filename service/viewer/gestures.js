/** Zoom and pan by wheel, two fingers, dragging and double click. One finger on an unzoomed picture scrolls the page. */

/** @param {HTMLElement} sheet @param {import("./view.js").View} view @param {() => void} onChange */
export function listenForGestures(sheet, view, onChange) {
  const down = /** @type {Map<number, [number, number]>} */ (new Map());
  const place = (event) => share(sheet, event);

  sheet.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== sheet) return;
      event.preventDefault();
      view.zoomBy(Math.exp(-event.deltaY / 300), place(event));
      onChange();
    },
    { passive: false },
  );
  sheet.addEventListener("dblclick", (event) => {
    if (view.zoom > 1) view.reset();
    else view.zoomBy(3, place(event));
    onChange();
  });
  sheet.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, place(event));
    if (view.zoom > 1) sheet.setPointerCapture(event.pointerId);
  });
  sheet.addEventListener("pointermove", (event) => {
    const was = down.get(event.pointerId);
    if (!was) return;
    const now = place(event);
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    down.set(event.pointerId, now);
    if (other) view.zoomBy(distance(now, other) / Math.max(0.01, distance(was, other)), middle(now, other));
    else view.pan(now[0] - was[0], now[1] - was[1]);
    onChange();
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    sheet.addEventListener(end, (event) => down.delete(/** @type {PointerEvent} */ (event).pointerId));
  }
}

/** @param {HTMLElement} sheet @param {MouseEvent} event @returns {[number, number]} */
function share(sheet, { clientX, clientY }) {
  const { left, top, width, height } = sheet.getBoundingClientRect();
  return [(clientX - left) / width, (clientY - top) / height];
}

/** @param {number[]} a @param {number[]} b */
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

/** @param {number[]} a @param {number[]} b @returns {[number, number]} */
const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
