/** The page: connects the choice of a session, the watcher, the scene, the measurements and the demo camera. */

import { getModel } from "./api.js";
import { DemoCamera } from "./demo_camera.js";
import { Measurements, PLOT_WINDOWS } from "./measurements.js";
import { Scene } from "./scene.js";
import { SessionChoice } from "./sessions.js";
import { Watcher } from "./watch.js";
import { badgeText, boxCount, ending, isUntrained, modelFacts, seconds, shortId } from "./words.js";

const MODEL_RETRY_MS = 3000;

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

/** @param {string} id @param {string} text */
const say = (id, text) => {
  if (element(id).textContent !== text) element(id).textContent = text;
};

const asked = new URLSearchParams(location.search);
const problems = new Map();
const scene = new Scene(element("scene"), element("events"), element("boxes"));
const measurements = new Measurements(element);
let watched = "";
let sliceText = "";
let boxesText = "";

const watcher = new Watcher({
  onSlice(slice) {
    scene.slice(slice);
    sliceText = `${seconds(slice.t0_us)}, ${slice.events.toLocaleString("en")} events`;
    say("caption", sliceText + boxesText);
  },
  onWindow(window) {
    const session = sessions.get(watched);
    scene.show(window.detections);
    boxesText = `; last window: ${boxCount(window.detections, session?.confidence)}`;
    say("caption", sliceText + boxesText);
    measurements.add(window, session);
  },
  onState(state, detail) {
    document.body.dataset.state = state;
    say("status", statusText(state, detail));
  },
});

const sessions = new SessionChoice(element("session"), {
  onChoose: watch,
  onList(ids) {
    if (!watched && ids.length) watch(ids[0]);
  },
  onProblem: (text) => complain("service", text),
});

const camera = new DemoCamera((problem) => {
  complain("camera", problem && `Demo camera stopped: ${problem}.`);
  sessions.setOwn(null);
  showCamera();
});

/** @param {string} id */
function watch(id) {
  if (!id) return;
  watched = id;
  sliceText = boxesText = "";
  say("caption", "\u00a0");
  scene.clear();
  measurements.clear();
  sessions.choose(id);
  const { width, height } = sessions.get(id) ?? {};
  if (width && height) scene.resize([width, height]);
  watcher.watch(id);
}

/** @param {import("./watch.js").State} state @param {string} detail */
function statusText(state, detail) {
  const session = `session ${shortId(watched)}`;
  switch (state) {
    case "connecting":
      return `Connecting to ${session}…`;
    case "quiet":
      return `Watching ${session}: waiting for events`;
    case "live":
      return `Watching ${session}, live`;
    case "lost":
      return `Connection lost. Trying ${session} again in ${detail} s`;
    case "closed":
      return `Session ${shortId(watched)} has ended: ${ending(detail)}`;
    case "refused":
      return `Cannot watch this session: ${detail}`;
    default:
      return "No session yet";
  }
}

/** Show what is wrong, or with "" that it is no longer. @param {string} source @param {string} text */
function complain(source, text) {
  problems.set(source, text);
  const all = [...problems.values()].filter(Boolean).join(" ");
  say("alert", all);
  element("alert").hidden = !all;
}

function showCamera() {
  element("demo").disabled = false;
  say("demo", camera.running ? "Stop demo camera" : "Demo camera");
  element("demo").classList.toggle("running", camera.running);
}

async function toggleCamera() {
  element("demo").disabled = true;
  if (camera.running) return camera.stop();
  complain("camera", "");
  say("demo", "Starting…");
  try {
    const confidence = asked.get("confidence");
    const session = await camera.start(confidence === null ? {} : { confidence: Number(confidence) });
    sessions.setOwn(session);
    watch(session.session_id);
  } catch (error) {
    complain("camera", `Demo camera: ${/** @type {Error} */ (error).message}`);
  }
  showCamera();
}

async function showModel() {
  try {
    const model = await getModel();
    say("model-name", model.name);
    say("model-facts", modelFacts(model));
    say("badge", badgeText(model.training));
    element("badge").classList.toggle("warn", isUntrained(model.training));
    element("badge").hidden = false;
  } catch {
    setTimeout(showModel, MODEL_RETRY_MS);
  }
}

say("status", statusText("idle", ""));
say("plot-length", String(PLOT_WINDOWS));
say(
  "curl",
  `curl ${location.origin}/v1/sessions \\\n  -H 'content-type: application/json' -d '{"format": "dat"}'\n` +
    `curl ${location.origin}/v1/sessions/SESSION_ID/events \\\n  --data-binary @recording.dat`,
);
element("demo").addEventListener("click", toggleCamera);
addEventListener("pagehide", () => camera.running && camera.stop());
showModel();
sessions.poll();
const linked = asked.get("session");
if (linked) watch(linked);
