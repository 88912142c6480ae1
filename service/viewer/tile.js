/** One session on the wall: its picture, timeline, controls and figures. */

import { redrawOnResize } from "./canvas.js";
import { WaysOut } from "./export/ways_out.js";
import { Face } from "./face.js";
import { listenForGestures } from "./gestures.js";
import { shortId } from "./ids.js";
import { Pace } from "./pace.js";
import { Reel } from "./reel.js";
import { Scene } from "./scene.js";
import { showCounts } from "./side/counts.js";
import { liveFacts, recordingFacts } from "./side/facts.js";
import { lately, RECENT } from "./side/figures.js";
import { faster, offerSpeeds } from "./speed.js";
import { Timeline } from "./timeline/timeline.js";
import { View } from "./view.js";
import { Watcher } from "./watch.js";
import { stateText } from "./words.js";

const ZOOM_STEP = 1.5;
const PAN_STEP = 0.1;
const TIMELINE_MS = 150;
const LEAST_MOMENTS = { live: 200, recording: 40 };

/**
 * @typedef {{onSelect: (tile: Tile) => void, onClose: (tile: Tile) => void, onShown: (tile: Tile) => void,
 *   onSession: () => void, onEnd: (tile: Tile) => void,
 *   onClick: (tile: Tile, place: [number, number]) => void, drafts: (tile: Tile) => import("./api.js").Zone[]}} Handlers
 * @typedef {{name?: string, recording?: boolean}} Origin what this page knows of a session that it runs itself
 */

export class Tile {
  session = /** @type {?import("./api.js").Session} */ (null);
  state = /** @type {import("./watch.js").State} */ ("connecting");
  #face;
  #id;
  #origin;
  #reel;
  #view = new View();
  #scene;
  #timeline;
  #watcher;
  #confidence = 0;
  #pace = new Pace();
  #out;
  #dirty = true;
  #timelineMs = 0;
  #handlers;

  /**
   * @param {string} id of the session @param {Origin} origin @param {number} confidence
   * @param {import("./look.js").Look} look @param {Handlers} handlers
   */
  constructor(id, origin, confidence, look, handlers) {
    this.#id = id;
    this.#origin = origin;
    this.#confidence = confidence;
    this.#handlers = handlers;
    this.#reel = new Reel(origin.recording ? "play" : "follow", origin.recording);
    this.#face = new Face(this.#acts(), () => handlers.onSelect(this));
    offerSpeeds(this.#face.part("speed"), (speed) => this.#setSpeed(speed));
    const sheet = this.#face.part("sheet");
    this.#scene = new Scene(sheet, this.#reel, this.#view, look, () => this.redraw());
    this.#timeline = new Timeline(
      this.#face.part("timeline"),
      this.#reel,
      () => (this.ended ? 1 : LEAST_MOMENTS[origin.recording ? "recording" : "live"]),
      (number) => this.#seek(number),
    );
    listenForGestures(sheet, this.#view, () => this.redraw());
    sheet.addEventListener("click", ({ offsetX, offsetY }) => handlers.onClick(this, this.#view.placeAt(offsetX / sheet.clientWidth, offsetY / sheet.clientHeight)));
    redrawOnResize(sheet, () => this.redraw());
    this.#watcher = new Watcher(id, this.#handlersOfWatcher(), origin.recording);
    this.#nameIt();
    this.#out = new WaysOut(this, (name) => this.#face.part(name));
  }

  get id() {
    return this.#id;
  }

  get root() {
    return this.#face.root;
  }

  get name() {
    return this.#origin.name ?? `Session ${shortId(this.#id)}`;
  }

  get ended() {
    return this.state === "closed" || this.state === "refused";
  }

  get running() {
    return this.state === "quiet" || this.state === "live";
  }

  /** Boxes at the moment shown, above the confidence asked for. */
  get boxes() {
    return (this.#reel.now?.latest?.detections ?? []).filter(this.shown);
  }

  get reel() {
    return this.#reel;
  }

  /** Whether it is a recording that this page runs. */
  get recorded() {
    return Boolean(this.#origin.recording);
  }

  /** Of a recording's run, in times of real time; 0 as yet unknown. */
  get speed() {
    return this.#pace.speed;
  }

  /** @param {number} confidence */
  setConfidence(confidence) {
    this.#confidence = confidence;
    this.redraw(true);
  }

  /** @param {boolean} selected */
  setSelected(selected) {
    this.#face.setSelected(selected);
  }

  /** Say why nothing more will come. @param {string} problem */
  fail(problem) {
    this.#watcher.stop();
    this.state = "refused";
    this.#face.setState("refused", problem);
    this.redraw(true);
  }

  /** The service answers now. @param {boolean} listed whether it lists the session as open */
  look(listed) {
    this.#watcher.look(listed);
  }

  /** The session of this recording is open now, or never will be. */
  expectNoMore() {
    this.#watcher.expectNoMore();
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
    this.#scene.draw(this.shown, this.#handlers.drafts(this));
    if (nowMs - this.#timelineMs > TIMELINE_MS) {
      this.#timelineMs = nowMs;
      this.#tell();
      this.#timeline.draw(this.shown);
      this.#handlers.onShown(this);
    }
  }

  /** Live sessions go on as they are. */
  playFromStart() {
    if (!this.ended) return;
    this.#reel.seek(this.#reel.first);
    this.#reel.mode = "play";
    this.redraw(true);
  }

  toggle() {
    if (this.#reel.mode !== "still") this.#reel.mode = "still";
    else if (this.#reel.newest && !this.ended) this.#reel.mode = "follow";
    else {
      if (this.#reel.newest) this.#reel.seek(this.#reel.first);
      this.#reel.mode = "play";
    }
    this.redraw(true);
  }

  /** @param {number} count moments on, or back */
  step(count) {
    this.#reel.step(count);
    this.redraw(true);
  }

  /** @param {number} steps faster, or slower */
  hasten(steps) {
    this.#setSpeed(faster(this.#reel.speed, steps));
  }

  follow() {
    this.#reel.mode = "follow";
    this.#reel.seek(this.#reel.last);
    this.redraw(true);
  }

  /** @param {1 | -1 | 0} direction in, out, or all the way out */
  zoom(direction) {
    if (direction) this.#view.zoomBy(ZOOM_STEP ** direction);
    else this.#view.reset();
    this.redraw(true);
  }

  /** @param {number} across @param {number} down steps */
  pan(across, down) {
    this.#view.pan(-across * PAN_STEP, -down * PAN_STEP);
    this.redraw();
  }

  /** Whether a box has the confidence asked for. */
  shown = (/** @type {import("./api.js").Detection} */ box) => box.confidence >= this.#confidence;

  /** @param {number} speed */
  #setSpeed(speed) {
    this.#reel.speed = speed;
    this.redraw(true);
  }

  /** There is no more to play. */
  #stop() {
    this.#reel.mode = "still";
    this.#out.finish();
    this.redraw(true);
  }

  /** @param {number} number of a moment */
  #seek(number) {
    this.#reel.mode = "still";
    this.#reel.seek(number);
    this.redraw(true);
  }

  /** @param {boolean} [all] figures and timeline too, at once */
  redraw(all = false) {
    this.#dirty = true;
    if (all) this.#timelineMs = 0;
  }

  /** @returns {import("./watch.js").Handlers} */
  #handlersOfWatcher() {
    return {
      onSession: (session) => {
        this.session = session;
        this.#reel.breakOff();
        this.#scene.zones = session.zones ?? [];
        if (session.width && session.height) this.#resize([session.width, session.height]);
        this.#nameIt();
        this.#handlers.onSession();
      },
      onSlice: (slice) => {
        this.#resize(slice.sensor);
        this.#nameIt();
        this.#reel.addSlice(slice);
        this.#pace.add(slice, performance.now());
        this.redraw();
      },
      onWindow: (window) => {
        this.#reel.addWindow(window);
        this.redraw();
      },
      onState: (state, detail) => this.#enter(state, detail),
    };
  }

  /** @param {import("./watch.js").State} state @param {string} detail */
  #enter(state, detail) {
    const returns = this.ended && !this.#origin.recording;
    this.state = state;
    if (returns && !this.ended && this.#reel.newest) this.#reel.mode = "follow";
    const own = this.#origin.recording && { live: "running", closed: detail === "client" && "finished" }[state];
    if (this.ended) this.#handlers.onEnd(this);
    this.#face.setState(state, own || stateText(state, detail));
    this.redraw(true);
  }

  /** @param {[number, number]} sensor */
  #resize(sensor) {
    if (this.session) [this.session.width, this.session.height] = sensor;
    if (sensor[0] === this.#view.sensor[0] && sensor[1] === this.#view.sensor[1]) return;
    this.#view.fit(sensor);
    this.#face.setShape(sensor);
  }

  #nameIt() {
    this.#face.setName(this.name, this.session);
  }

  #tell() {
    const live = !this.#origin.recording;
    this.#face.showControls(this.#reel, this.#view.zoom > 1, live && !this.ended);
    showCounts(this.#face.part("count"), this.#reel.now ? this.boxes : null);
    const now = lately(this.#reel.windows(RECENT), this.session);
    this.#face.showFacts(live ? liveFacts(now, this.#reel) : recordingFacts(this), now?.dropped ?? 0);
    this.#face.showNames(this.boxes);
  }

  #acts() {
    return {
      play: () => this.toggle(),
      back: () => this.step(-1),
      forth: () => this.step(1),
      live: () => this.follow(),
      in: () => this.zoom(1),
      out: () => this.zoom(-1),
      fit: () => this.zoom(0),
      close: () => this.#handlers.onClose(this),
    };
  }
}
