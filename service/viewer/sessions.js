/** The open sessions, asked for again and again, as buttons that put them on the wall or take
 * them off; hidden while all are on it. */

import { listSessions } from "./api.js";
import { shortId } from "./ids.js";
import { sessionFacts } from "./words.js";

const PERIOD_MS = 1500;
const LONGEST_PERIOD_MS = 6000;

export class SessionList {
  #root;
  #wall;
  #open = /** @type {import("./api.js").Session[]} */ ([]);
  #shown = "";
  #periodMs = PERIOD_MS;
  #onProblem;

  /**
   * @param {HTMLElement} root @param {import("./wall.js").Wall} wall
   * @param {(text: string) => void} onProblem receives the problem, "" once it is gone
   */
  constructor(root, wall, onProblem) {
    this.#root = root;
    this.#wall = wall;
    this.#onProblem = onProblem;
  }

  /** Ask now, and from then on every PERIOD_MS; less often while there is no answer. */
  async poll() {
    try {
      this.#open = await listSessions();
      this.#wall.fill(this.#open.map((session) => session.session_id));
      this.show();
      this.#onProblem("");
      this.#periodMs = PERIOD_MS;
    } catch (error) {
      this.#onProblem(`${/** @type {Error} */ (error).message} Trying again.`);
      this.#periodMs = Math.min(2 * this.#periodMs, LONGEST_PERIOD_MS);
    }
    setTimeout(() => this.poll(), this.#periodMs);
  }

  /** Make the buttons anew, only when they changed: one of them may have the focus. */
  show() {
    const buttons = this.#open.map((session) => {
      const tile = this.#wall.find(session.session_id);
      const name = tile?.name ?? shortId(session.session_id);
      return { id: session.session_id, text: `${name}, ${sessionFacts(session)}`, on: tile !== undefined };
    });
    const shown = JSON.stringify(buttons);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = document.activeElement?.getAttribute("data-session");
    this.#root.replaceChildren(...buttons.map((button) => this.#button(button)));
    if (focused) /** @type {?HTMLElement} */ (this.#root.querySelector(`[data-session="${focused}"]`))?.focus();
    this.#root.hidden = buttons.every(({ on }) => on);
  }

  /** @param {{id: string, text: string, on: boolean}} wanted */
  #button({ id, text, on }) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "chip", textContent: text });
    button.dataset.session = id;
    button.setAttribute("aria-pressed", String(on));
    button.addEventListener("click", () => {
      const tile = this.#wall.find(id);
      if (tile) this.#wall.remove(tile);
      else this.#wall.add(id);
    });
    return button;
  }
}
