/** Plays the bundled recording into a session of its own, in real time and for ever, as a camera would. */

import { endSession, getBytes, openSession, socketUrl } from "./api.js";
import { DatRecording } from "./dat.js";
import { ending } from "./words.js";

const PIECE_MS = 20;
/** A page in the background ticks once a second; after a longer pause the recording waits instead of rushing. */
const MAX_GAP_MS = 2000;

export class DemoCamera {
  #recording = /** @type {?DatRecording} */ (null);
  #socket = /** @type {?WebSocket} */ (null);
  #timer = 0;
  #offset = 0;
  #startMs = 0;
  #tickMs = 0;
  #stopping = false;
  #sessionId = "";
  #onEnd;

  /** @param {(problem: string) => void} onEnd receives the reason, "" if the camera was stopped */
  constructor(onEnd) {
    this.#onEnd = onEnd;
  }

  get running() {
    return this.#socket !== null;
  }

  /**
   * @param {object} options choices for the session, such as `confidence`
   * @returns {Promise<import("./api.js").Session>}
   */
  async start(options) {
    this.#recording ??= new DatRecording(await getBytes("/viewer/demo.dat"));
    const { width, height } = this.#recording;
    const session = await openSession({ format: "dat", width, height, ...options });
    this.#sessionId = session.session_id;
    this.#connect(await socketUrl(session.session_id, "stream"));
    return session;
  }

  /** End the session; the camera is done when `onEnd` is called. */
  stop() {
    this.#stopping = true;
    clearInterval(this.#timer);
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send("close");
  }

  /** The page goes away: end the session now, by a request that outlives the page where no stream is open yet. */
  end() {
    if (!this.running) return;
    if (this.#socket?.readyState !== WebSocket.OPEN) endSession(this.#sessionId);
    this.stop();
  }

  /** @param {string} url of the session's stream */
  #connect(url) {
    const socket = new WebSocket(url);
    this.#socket = socket;
    this.#stopping = false;
    let problem = "the connection to the service was lost";
    socket.onopen = () => this.#stopping && socket.send("close");
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "ready" || message.type === "reset") this.#play();
      if (message.type === "closed") problem = message.reason === "client" ? "" : problem || ending(message.reason);
      if (message.type === "error") problem = message.detail;
    };
    socket.onclose = () => {
      clearInterval(this.#timer);
      this.#socket = null;
      this.#onEnd(problem);
    };
  }

  /** From the beginning, header included: after a reset the service expects a new stream. */
  #play() {
    if (this.#stopping) return;
    this.#offset = 0;
    this.#startMs = this.#tickMs = performance.now();
    this.#timer = setInterval(() => this.#tick(), PIECE_MS);
  }

  #tick() {
    const [recording, nowMs] = [/** @type {DatRecording} */ (this.#recording), performance.now()];
    if (nowMs - this.#tickMs > MAX_GAP_MS) this.#startMs += nowMs - this.#tickMs;
    this.#tickMs = nowMs;
    const dueUs = recording.firstTimeUs + (nowMs - this.#startMs) * 1000;
    const end = recording.offsetAfter(this.#offset, dueUs);
    if (end > this.#offset) this.#socket?.send(recording.bytes.subarray(this.#offset, end));
    this.#offset = end;
    if (!recording.endsAt(end)) return;
    clearInterval(this.#timer);
    this.#socket?.send("reset");
  }
}
