/** How many boxes of each class there are, each class with its colour. */

import { inkOf } from "../boxes.js";
import { countsOf } from "../words.js";

/** @param {HTMLElement} root @param {?import("../api.js").Detection[]} found null: nothing to say yet */
export function showCounts(root, found) {
  const text = found ? countsOf(found) : "";
  const inks = (found ?? []).map(inkOf).join();
  if (root.textContent === text && root.dataset.inks === inks) return;
  root.dataset.inks = inks;
  const labels = [...new Set((found ?? []).map((box) => box.label))].sort();
  const parts = text.split(", ").map((part, i) => {
    const box = found?.find(({ label }) => label === labels[i]);
    const span = document.createElement("span");
    span.textContent = part;
    if (box) {
      span.className = "class";
      span.style.setProperty("--ink", inkOf(box));
    }
    return span;
  });
  root.replaceChildren(...parts.flatMap((part, i) => (i ? [", ", part] : [part])));
}
