/** Dark or light page: as the user says, or as the system has it. The picture has colours of its own. */

import { forgetColours } from "./canvas.js";

const KEY = "spikewatch.theme";
const system = matchMedia("(prefers-color-scheme: light)");

/** @param {HTMLSelectElement} choice @param {() => void} onChange */
export function listenForTheme(choice, onChange) {
  const apply = () => {
    const light = choice.value === "light" || (choice.value === "system" && system.matches);
    document.documentElement.dataset.theme = light ? "light" : "dark";
    forgetColours();
    onChange();
  };
  choice.value = localStorage.getItem(KEY) ?? "dark";
  choice.addEventListener("change", () => {
    localStorage.setItem(KEY, choice.value);
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}
