/** The list of open sessions, asked for again and again, as a choice. */

import { listSessions } from "./api.js";
import { sessionName, shortId } from "./words.js";

const PERIOD_MS = 2000;

export class SessionChoice {
  #select;
  #open = /** @type {Map<string, import("./api.js").Session>} */ (new Map());
  #own = /** @type {?import("./api.js").Session} */ (null);
  #shown = "";
  #onList;
  #onProblem;

  /**
   * @param {HTMLSelectElement} select
   * @param {{onChoose: (id: string) => void, onList: (ids: string[]) => void,
   *   onProblem: (text: string) => void}} handlers
   */
  constructor(select, { onChoose, onList, onProblem }) {
    this.#select = select;
    this.#onList = onList;
    this.#onProblem = onProblem;
    select.addEventListener("change", () => onChoose(select.value));
    this.#render("");
  }

  /** @param {string} id @returns {import("./api.js").Session | undefined} */
  get(id) {
    return this.#open.get(id);
  }

  /** The page's own session, listed at once; null when it has ended. @param {?import("./api.js").Session} session */
  setOwn(session) {
    this.#own = session;
    if (session) this.#open.set(session.session_id, session);
  }

  /** @param {string} id */
  choose(id) {
    this.#render(id);
    this.#select.value = id;
  }

  /** Ask now, and from then on every PERIOD_MS. */
  async poll() {
    try {
      const sessions = await listSessions();
      this.#open = new Map(sessions.map((session) => [session.session_id, session]));
      this.setOwn(this.#own);
      this.#render(this.#select.value);
      this.#onProblem("");
      this.#onList([...this.#open.keys()]);
    } catch (error) {
      this.#onProblem(`${/** @type {Error} */ (error).message} Trying again.`);
    }
    setTimeout(() => this.poll(), PERIOD_MS);
  }

  /** Rebuild the options only when they changed: the list may be open. @param {string} chosen */
  #render(chosen) {
    const options = [...this.#open.values()].map((session) => {
      const own = session.session_id === this.#own?.session_id ? ", demo camera" : "";
      return { value: session.session_id, text: sessionName(session) + own };
    });
    if (chosen && !this.#open.has(chosen)) options.unshift({ value: chosen, text: `${shortId(chosen)}, ended` });
    if (!chosen) options.unshift({ value: "", text: options.length ? "Choose a session" : "No open session" });
    const shown = JSON.stringify(options);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#select.replaceChildren(...options.map(({ value, text }) => new Option(text, value)));
    this.#select.value = chosen;
  }
}
