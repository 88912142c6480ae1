/**
 * Looking on at one session over its WebSocket, with retries.
 *
 * idle -> connecting -> quiet <-> live -> closed            the session ended, and said why
 *              |           \_______/ \--> lost -> connecting  the connection broke
 *              \--> refused                                 no such session
 *
 * @typedef {"idle" | "connecting" | "quiet" | "live" | "lost" | "closed" | "refused"} State
 * @typedef {{
 *   onSession: (session: import("./api.js").Session) => void,
 *   onSlice: (slice: import("./api.js").Slice) => void,
 *   onWindow: (window: import("./api.js").Window) => void,
 *   onState: (state: State, detail: string) => void,
 * }} Handlers
 */

import { socketUrl } from "./api.js";

const QUIET_MS = 2500;
const SOON_MS = 250;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 8000;

export class Watcher {
  #id;
  #socket = /** @type {?WebSocket} */ (null);
  #handlers;
  #state = /** @type {State} */ ("idle");
  #timer = 0;
  #retryMs = FIRST_RETRY_MS;
  #expected;

  /**
   * @param {string} sessionId
   * @param {Handlers} handlers
   * @param {boolean} [expected] the session is about to be opened: that there is none yet is no refusal
   */
  constructor(sessionId, handlers, expected = false) {
    this.#id = sessionId;
    this.#handlers = handlers;
    this.#expected = expected;
    this.#connect();
  }

  stop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #connect() {
    const socket = new WebSocket(socketUrl(`/v1/sessions/${encodeURIComponent(this.#id)}/watch`));
    this.#socket = socket;
    this.#enter("connecting");
    const current = (handle) => (event) => socket === this.#socket && handle(event);
    socket.onmessage = current((event) => this.#take(JSON.parse(event.data)));
    socket.onclose = current(() => this.#retry());
  }

  /** @param {any} message */
  #take(message) {
    switch (message.type) {
      case "session":
        this.#expected = false;
        this.#handlers.onSession(message);
        return this.#enter("quiet");
      case "slice":
      case "window":
        this.#retryMs = FIRST_RETRY_MS;
        this.#alive();
        return message.type === "slice" ? this.#handlers.onSlice(message) : this.#handlers.onWindow(message);
      case "closed":
        this.stop();
        return this.#enter("closed", message.reason);
      case "error":
        this.stop();
        if (this.#expected && message.code === "session_unknown") {
          this.#timer = setTimeout(() => this.#connect(), SOON_MS);
          return;
        }
        return this.#enter("refused", message.detail);
    }
  }

  #alive() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#enter("quiet"), QUIET_MS);
    if (this.#state !== "live") this.#enter("live");
  }

  #retry() {
    clearTimeout(this.#timer);
    this.#enter("lost", String(this.#retryMs / 1000));
    this.#timer = setTimeout(() => this.#connect(), this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  /** @param {State} state @param {string} [detail] */
  #enter(state, detail = "") {
    this.#state = state;
    this.#handlers.onState(state, detail);
  }
}
