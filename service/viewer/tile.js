/** One session on the wall: its picture, timeline, controls and figures. */

import { redrawOnResize } from "./canvas.js";
import { showCounts } from "./counts.js";
import { lately } from "./figures.js";
import { listenForGestures } from "./gestures.js";
import { Reel } from "./reel.js";
import { Scene } from "./scene.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";
import { Watcher } from "./watch.js";
import { duration, seconds, sessionFacts, short, shortId, stateText, watts } from "./words.js";

const ZOOM_STEP = 1.5;
const PAN_STEP = 0.1;
const TIMELINE_MS = 150;
const LEAST_MOMENTS = { live: 200, recording: 40 };

/**
 * @typedef {{onSelect: (tile: Tile) => void, onClose: (tile: Tile) => void, onShown: (tile: Tile) => void,
 *   onSession: () => void}} Handlers
 * @typedef {{name?: string, recording?: boolean}} Origin what this page knows of a session that it runs itself
 */

export class Tile {
  session = /** @type {?import("./api.js").Session} */ (null);
  state = /** @type {import("./watch.js").State} */ ("connecting");
  root;
  #id;
  #origin;
  #reel;
  #view = new View();
  #scene;
  #timeline;
  #watcher;
  #confidence = 0;
  #dirty = true;
  #timelineMs = 0;
  #handlers;

  /**
   * @param {string} id of the session @param {Origin} origin @param {number} confidence @param {Handlers} handlers
   */
  constructor(id, origin, confidence, handlers) {
    this.#id = id;
    this.#origin = origin;
    this.#confidence = confidence;
    this.#handlers = handlers;
    this.#reel = new Reel(origin.recording ? "play" : "follow", origin.recording);
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("tile"));
    this.root = /** @type {HTMLElement} */ (template.content.cloneNode(true)).firstElementChild;
    const sheet = this.#part("sheet");
    this.#scene = new Scene(sheet, this.#reel, this.#view, () => this.#redraw());
    this.#timeline = new Timeline(
      this.#part("timeline"),
      this.#reel,
      () => (this.ended ? 1 : LEAST_MOMENTS[origin.recording ? "recording" : "live"]),
      (number) => this.#seek(number),
    );
    listenForGestures(sheet, this.#view, () => this.#redraw());
    redrawOnResize(sheet, () => this.#redraw());
    this.#listen();
    this.#watcher = new Watcher(id, this.#handlersOfWatcher(), origin.recording);
    this.#nameIt();
  }

  get id() {
    return this.#id;
  }

  get name() {
    return this.#origin.name ?? `Session ${shortId(this.#id)}`;
  }

  get ended() {
    return this.state === "closed" || this.state === "refused";
  }

  /** Boxes at the moment shown, above the confidence asked for. */
  get boxes() {
    return (this.#reel.now?.latest?.detections ?? []).filter(this.#shown);
  }

  /** @param {number} count the newest results up to the moment shown */
  windows(count) {
    return this.#reel.windows(count);
  }

  /** @param {number} confidence */
  setConfidence(confidence) {
    this.#confidence = confidence;
    this.#redraw(true);
  }

  /** @param {boolean} selected */
  setSelected(selected) {
    this.root.classList.toggle("selected", selected);
    this.#part("pick").setAttribute("aria-pressed", String(selected));
  }

  /** Say why nothing more will come. @param {string} problem */
  fail(problem) {
    this.#watcher.stop();
    this.state = this.root.dataset.state = "refused";
    this.#say("status", problem);
    this.#redraw(true);
  }

  close() {
    this.#watcher.stop();
    this.root.remove();
  }

  /** Let time pass, and draw what changed. @param {number} elapsedMs @param {number} nowMs */
  tick(elapsedMs, nowMs) {
    const before = this.#reel.elapsedUs;
    const moved = this.#reel.advance(elapsedMs * 1000);
    if (this.ended && this.#reel.newest && this.#reel.mode !== "still") this.#stop();
    if (!moved && this.#reel.elapsedUs === before && !this.#dirty) return;
    this.#dirty = false;
    this.#scene.draw(this.#shown);
    if (nowMs - this.#timelineMs > TIMELINE_MS) {
      this.#timelineMs = nowMs;
      this.#tell();
      this.#timeline.draw(this.#shown);
      this.#handlers.onShown(this);
    }
  }

  toggle() {
    if (this.#reel.mode !== "still") this.#reel.mode = "still";
    else if (this.#reel.newest && !this.ended) this.#reel.mode = "follow";
    else {
      if (this.#reel.newest) this.#reel.seek(this.#reel.first);
      this.#reel.mode = "play";
    }
    this.#redraw(true);
  }

  /** @param {number} count moments on, or back */
  step(count) {
    this.#reel.step(count);
    this.#redraw(true);
  }

  follow() {
    this.#reel.mode = "follow";
    this.#reel.seek(this.#reel.last);
    this.#redraw(true);
  }

  /** @param {1 | -1 | 0} direction in, out, or all the way out */
  zoom(direction) {
    if (direction) this.#view.zoomBy(ZOOM_STEP ** direction);
    else this.#view.reset();
    this.#redraw(true);
  }

  /** @param {number} across @param {number} down steps */
  pan(across, down) {
    this.#view.pan(-across * PAN_STEP, -down * PAN_STEP);
    this.#redraw();
  }

  #shown = (/** @type {import("./api.js").Detection} */ box) => box.confidence >= this.#confidence;

  /** There is no more to play. */
  #stop() {
    this.#reel.mode = "still";
    this.#redraw(true);
  }

  /** @param {number} number of a moment */
  #seek(number) {
    this.#reel.mode = "still";
    this.#reel.seek(number);
    this.#redraw(true);
  }

  /** @param {boolean} [all] figures and timeline too, at once */
  #redraw(all = false) {
    this.#dirty = true;
    if (all) this.#timelineMs = 0;
  }

  /** @returns {import("./watch.js").Handlers} */
  #handlersOfWatcher() {
    return {
      onSession: (session) => {
        this.session = session;
        if (session.width && session.height) this.#resize([session.width, session.height]);
        this.#nameIt();
        this.#handlers.onSession();
      },
      onSlice: (slice) => {
        this.#resize(slice.sensor);
        this.#nameIt();
        this.#reel.addSlice(slice);
        this.#redraw();
      },
      onWindow: (window) => {
        this.#reel.addWindow(window);
        this.#redraw();
      },
      onState: (state, detail) => this.#enter(state, detail),
    };
  }

  /** @param {import("./watch.js").State} state @param {string} detail */
  #enter(state, detail) {
    if (this.ended && state !== "live") return;
    this.state = state;
    this.root.dataset.state = state;
    const own = this.#origin.recording && { live: "running", closed: detail === "client" && "finished" }[state];
    this.#say("status", own || stateText(state, detail));
    this.#redraw(true);
  }

  /** @param {[number, number]} sensor */
  #resize(sensor) {
    if (this.session) [this.session.width, this.session.height] = sensor;
    if (sensor[0] === this.#view.sensor[0] && sensor[1] === this.#view.sensor[1]) return;
    this.#view.fit(sensor);
    this.root.style.setProperty("--w", String(sensor[0]));
    this.root.style.setProperty("--h", String(sensor[1]));
  }

  #nameIt() {
    this.#say("name", this.name);
    this.#say("kind", this.session ? sessionFacts(this.session) : "");
    this.root.setAttribute("aria-label", this.name);
  }

  #tell() {
    const { mode, now, newest } = this.#reel;
    const playing = mode !== "still";
    this.#part("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    this.root.classList.toggle("playing", playing);
    this.#part("live").hidden = this.ended || Boolean(this.#origin.recording);
    this.#part("live").setAttribute("aria-pressed", String(mode === "follow"));
    this.#part("forth").disabled = newest;
    this.#part("back").disabled = this.#reel.at <= this.#reel.first;
    this.#part("fit").disabled = this.#view.zoom === 1;
    this.#part("out").disabled = this.#view.zoom === 1;
    this.root.classList.toggle("zoomed", this.#view.zoom > 1);
    const figures = lately(this.#reel.windows(20), this.session);
    this.#say("time", now ? seconds(now.slice.t1_us) : "");
    showCounts(this.#part("count"), now ? this.boxes : null);
    this.#say("latency", figures && !this.#origin.recording ? `latency ${duration(figures.latencyMs)}` : "");
    this.#say("drops", figures ? `${figures.dropped} dropped` : "");
    const missed = now?.slice.missed_slices;
    this.#say("missed", missed ? `${missed} slices not shown` : "");
    this.#part("drops").classList.toggle("warn", Boolean(figures?.dropped));
    this.#say("events", figures ? `${short(figures.eventsPerS)} events/s` : "");
    this.#say("power", figures ? `${watts(figures.snnW)}, as ANN ${watts(figures.annW)}` : "");
    const boxes = this.boxes.map((box) => `${box.label} ${box.confidence.toFixed(2)}`).join(", ");
    this.#part("sheet").setAttribute("aria-label", `Events and boxes: ${boxes || "no boxes"}`);
  }

  #listen() {
    const on = (name, act) => this.#part(name).addEventListener("click", act);
    on("play", () => this.toggle());
    on("back", () => this.step(-1));
    on("forth", () => this.step(1));
    on("live", () => this.follow());
    on("in", () => this.zoom(1));
    on("out", () => this.zoom(-1));
    on("fit", () => this.zoom(0));
    on("close", () => this.#handlers.onClose(this));
    for (const event of ["pointerdown", "focusin"]) {
      this.root.addEventListener(event, () => this.#handlers.onSelect(this));
    }
  }

  /** @param {string} name @returns {any} */
  #part(name) {
    return this.root.querySelector(`.${name}`);
  }

  /** @param {string} name @param {string} text */
  #say(name, text) {
    if (this.#part(name).textContent !== text) this.#part(name).textContent = text;
  }
}
