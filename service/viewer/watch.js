/**
 * Looking on at one session over its WebSocket, with retries.
 *
 * idle -> connecting -> quiet <-> live -> closed            the session ended, and said why
 *              |           \_______/ \--> lost -> connecting  the connection broke
 *              \--> refused                                 no such session
 *
 * @typedef {"idle" | "connecting" | "quiet" | "live" | "lost" | "closed" | "refused"} State
 * @typedef {{
 *   onSlice: (slice: import("./api.js").Slice) => void,
 *   onWindow: (window: import("./api.js").Window) => void,
 *   onState: (state: State, detail: string) => void,
 * }} Handlers
 */

import { socketUrl } from "./api.js";

const QUIET_MS = 2500;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 8000;

export class Watcher {
  #socket = /** @type {?WebSocket} */ (null);
  #handlers;
  #state = /** @type {State} */ ("idle");
  #timer = 0;
  #retryMs = FIRST_RETRY_MS;

  /** @param {Handlers} handlers */
  constructor(handlers) {
    this.#handlers = handlers;
  }

  /** @param {string} sessionId */
  watch(sessionId) {
    this.stop();
    this.#retryMs = FIRST_RETRY_MS;
    this.#connect(sessionId);
  }

  stop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** @param {string} sessionId */
  #connect(sessionId) {
    const socket = new WebSocket(socketUrl(`/v1/sessions/${encodeURIComponent(sessionId)}/watch`));
    this.#socket = socket;
    this.#enter("connecting");
    const current = (handle) => (event) => socket === this.#socket && handle(event);
    socket.onopen = current(() => this.#enter("quiet"));
    socket.onmessage = current((event) => this.#take(JSON.parse(event.data)));
    socket.onclose = current(() => this.#retry(sessionId));
  }

  /** @param {any} message */
  #take(message) {
    switch (message.type) {
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
        return this.#enter("refused", message.detail);
    }
  }

  #alive() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#enter("quiet"), QUIET_MS);
    if (this.#state !== "live") this.#enter("live");
  }

  /** @param {string} sessionId */
  #retry(sessionId) {
    clearTimeout(this.#timer);
    this.#enter("lost", String(this.#retryMs / 1000));
    this.#timer = setTimeout(() => this.#connect(sessionId), this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  /** @param {State} state @param {string} [detail] */
  #enter(state, detail = "") {
    this.#state = state;
    this.#handlers.onState(state, detail);
  }
}
