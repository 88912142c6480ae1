/** Links to what asks for the key, which a link cannot carry: fetched with it, and shown in a tab of their own. */

import { getText } from "./api.js";
import { heldKey, isLocked } from "./key_dialog.js";

const KEEP_MS = 60_000;

/** @param {HTMLAnchorElement} link @param {(problem: string) => void} onProblem receives the problem, "" if there is none */
export function unlock(link, onProblem) {
  link.addEventListener("click", async (event) => {
    if (!heldKey() && !isLocked()) return;
    event.preventDefault();
    const tab = window.open("", "_blank"); // before anything is waited for, or browsers take it for a popup
    try {
      const address = URL.createObjectURL(new Blob([await getText(`/${link.getAttribute("href")}`)], { type: "text/plain" }));
      setTimeout(() => URL.revokeObjectURL(address), KEEP_MS);
      if (tab) tab.location.href = address;
      onProblem(tab ? "" : "The browser does not let this page open a tab.");
    } catch (error) {
      tab?.close();
      onProblem(`${link.textContent}: ${/** @type {Error} */ (error).message}`);
    }
  });
}
