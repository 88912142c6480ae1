/**
 * Looking on at one session over its WebSocket, through all of its lives.
 *
 * idle -> connecting -> quiet <-> live -> closed     the session ended, and said why
 *          |      ^        \_______/ \--> paused     its service stopped, and has saved it
 *          |      |                   \-> lost       the connection broke
 *          |      \---- from these three and refused, once `look` says that it may be there
 *          \--> refused                              no such session
 *
 * @typedef {"idle" | "connecting" | "quiet" | "live" | "lost" | "paused" | "closed" | "refused"} State
 * @typedef {{
 *   onSession: (session: import("./api.js").Session) => void,
 *   onSlice: (slice: import("./api.js").Slice) => void,
 *   onWindow: (window: import("./api.js").Window) => void,
 *   onState: (state: State, detail: string) => void,
 * }} Handlers
 */

import { listSessions, socketUrl } from "./api.js";
import { isSame } from "./ids.js";

const QUIET_MS = 2500;
const SOON_MS = 250;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 8000;
const INTERRUPTIONS = ["shutdown", "interrupted"];
/** Looks, about a minute of them, after which a paused session counts as ended. */
const PATIENCE = 40;

export class Watcher {
  #id;
  #socket = /** @type {?WebSocket} */ (null);
  #handlers;
  #state = /** @type {State} */ ("idle");
  #timer = 0;
  #retryMs = FIRST_RETRY_MS;
  #retryAtMs = 0;
  #reason = "";
  #absences = 0;
  #expected;
  #attempt = 0;

  /**
   * @param {string} sessionId
   * @param {Handlers} handlers
   * @param {boolean} [expected] the session is about to be opened: wait until it is listed
   */
  constructor(sessionId, handlers, expected = false) {
    this.#id = sessionId;
    this.#handlers = handlers;
    this.#expected = expected;
    if (expected) this.#expect();
    else this.#connect();
  }

  /** Look now, listed or not. */
  expectNoMore() {
    if (this.#expected) this.#connect();
  }

  /** The service answers now. @param {boolean} listed whether it lists the session as open */
  look(listed) {
    const away = ["lost", "paused", "closed", "refused"].includes(this.#state);
    if (away && (listed || this.#state === "lost")) {
      if (performance.now() >= this.#retryAtMs) this.#connect();
    } else if (this.#state === "paused") {
      this.#absences += 1;
      if (this.#absences > PATIENCE) this.#enter("closed", this.#reason);
    }
  }

  /** For good. */
  stop() {
    this.#leave();
    this.#state = "idle";
  }

  #leave() {
    clearTimeout(this.#timer);
    this.#expected = false;
    this.#attempt += 1;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  async #expect() {
    this.#enter("connecting");
    const open = await listSessions().catch(() => []);
    if (!this.#expected) return;
    if (open.some(({ session_id }) => isSame(session_id, this.#id))) this.#connect();
    else this.#timer = setTimeout(() => this.#expect(), SOON_MS);
  }

  async #connect() {
    clearTimeout(this.#timer);
    this.#expected = false;
    const attempt = ++this.#attempt;
    this.#enter("connecting");
    try {
      const url = await socketUrl(this.#id, "watch");
      if (attempt === this.#attempt) this.#open(url);
    } catch (error) {
      if (attempt === this.#attempt) this.#fail(/** @type {import("./api.js").Problem} */ (error));
    }
  }

  /** @param {string} url */
  #open(url) {
    const socket = new WebSocket(url);
    this.#socket = socket;
    const current = (handle) => (event) => socket === this.#socket && handle(event);
    socket.onmessage = current((event) => this.#take(JSON.parse(event.data)));
    socket.onclose = current(() => this.#goAway("lost"));
  }

  /** @param {any} message */
  #take(message) {
    switch (message.type) {
      case "session":
        this.#handlers.onSession(message);
        return this.#enter("quiet");
      case "slice":
      case "window":
        this.#retryMs = FIRST_RETRY_MS;
        this.#alive();
        return message.type === "slice" ? this.#handlers.onSlice(message) : this.#handlers.onWindow(message);
      case "closed":
        return this.#end(message);
      case "error":
        return this.#refuse(message);
    }
  }

  /** There is no ticket. @param {import("./api.js").Problem} problem */
  #fail(problem) {
    if (problem.code.startsWith("session_")) this.#refuse({ detail: problem.message, ...problem.members });
    else this.#goAway("lost");
  }

  /** @param {{detail: string, reason?: string, resumable?: boolean}} problem */
  #refuse({ detail, reason, resumable = false }) {
    if (reason) this.#end({ reason, resumable });
    else this.#goAway("refused", detail);
  }

  /** @param {{reason: string, resumable: boolean}} ending */
  #end({ reason, resumable }) {
    this.#reason = reason;
    this.#absences = 0;
    this.#goAway(resumable && INTERRUPTIONS.includes(reason) ? "paused" : "closed", reason);
  }

  #alive() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#enter("quiet"), QUIET_MS);
    if (this.#state !== "live") this.#enter("live");
  }

  /** @param {State} state @param {string} [detail] */
  #goAway(state, detail) {
    this.#leave();
    this.#retryAtMs = performance.now() + this.#retryMs;
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    this.#enter(state, detail);
  }

  /** @param {State} state @param {string} [detail] */
  #enter(state, detail = "") {
    this.#state = state;
    this.#handlers.onState(state, detail);
  }
}
