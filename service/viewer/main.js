/** The page: the wall of sessions, their list, the demo camera, recordings, keys and measurements. */

import { ROOT } from "./api.js";
import { DemoCamera } from "./demo_camera.js";
import { listenForFiles } from "./drop.js";
import { heldKey } from "./key_dialog.js";
import { listenForKeys } from "./keys.js";
import { unlock } from "./locked_links.js";
import { Look } from "./look.js";
import { Models } from "./models.js";
import { Recordings } from "./recordings.js";
import { refuse } from "./refusals.js";
import { SessionList } from "./sessions.js";
import { Settings } from "./settings.js";
import { Panel } from "./side/panel.js";
import { listenForTheme } from "./theme.js";
import { Thumbnail } from "./thumbnail.js";
import { Wall } from "./wall.js";
import { ZoneEditor } from "./zones/editor.js";
import { badgeText, countsOf, isUntrained, modelFacts } from "./words.js";

const MODEL_RETRY_MS = 3000;
const SPEAK_MS = 4000;
/** Sessions of this page ask for weak boxes too, for the slider to show or hide. */
const LOWEST_CONFIDENCE = 0.1;

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

/** @param {string} id @param {string} text */
const say = (id, text) => {
  if (element(id).textContent !== text) element(id).textContent = text;
};

const asked = new URLSearchParams(location.search);
const problems = new Map();
const slider = element("confidence");
slider.value = asked.get("confidence") ?? slider.value;
const lowest = Math.min(LOWEST_CONFIDENCE, Number(slider.value));
const settings = new Settings(element);
const models = new Models(element("weights"), showModel);
const panel = new Panel(element);

const look = new Look(element, () => wall.tiles.forEach((tile) => tile.redraw()));
const wall = new Wall(element("wall"), Number(slider.value), look, {
  onChange() {
    recordings.prune();
    sessions.show();
    showConfidence();
    say("measured", wall.selected?.name ?? "");
  },
  onShown: (tile) => panel.show(tile),
  onClick: (place) => zones.click(place),
  drafts: () => zones.drafts,
});
for (const id of ["power-card", "latency-card", "network-card"]) {
  element(id).addEventListener("toggle", () => panel.show(wall.selected));
}
const zones = new ZoneEditor(element, () => {
  document.body.classList.toggle("editing", element("zone-editor").open);
  wall?.tiles.forEach((tile) => tile.redraw());
});
const sessions = new SessionList(element("sessions"), wall, (text) => complain("service", text));
const recordings = new Recordings(wall, () => ({ confidence: lowest, ...settings.wanted, ...models.wanted }), (name, problem) =>
  refuse(element("refusals"), name, problem),
);
const camera = new DemoCamera((problem) => {
  complain("camera", problem && `Demo camera stopped: ${problem}.`);
  showCamera();
});

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
    const session = await camera.start({
      confidence: lowest, track: true, zones: zones.zones, ...settings.wanted, ...settings.live, ...models.wanted,
    });
    wall.add(session.session_id, { name: "Demo camera" });
  } catch (error) {
    complain("camera", `Demo camera: ${/** @type {Error} */ (error).message}`);
  }
  showCamera();
}

function showConfidence() {
  say("confidence-value", Number(slider.value).toFixed(2));
  const session = wall.selected?.session;
  const hidden = session && session.confidence > Number(slider.value);
  say("confidence-note", hidden ? `this session sends none below ${session.confidence}` : "");
}

async function loadModels() {
  try {
    await models.load();
    showModel();
  } catch {
    setTimeout(loadModels, MODEL_RETRY_MS);
  }
}

function showModel() {
  const model = models.chosen;
  if (!model) return;
  say("model-name", model.name);
  say("model-facts", modelFacts(model));
  say("badge", badgeText(model.training));
  element("badge").classList.toggle("warn", isUntrained(model.training));
  element("badge").hidden = false;
  showCommands();
}

function showCommands() {
  const key = heldKey() && ` -H "X-API-Key: $SPIKEWATCH_KEY"`;
  const { weights } = models.wanted;
  const root = ROOT.href.replace(/\/$/, "");
  const wanted = JSON.stringify({ format: "dat", ...models.wanted });
  say(
    "curl",
    `spikewatch stream recording.raw --url ${root}${weights ? ` --weights ${weights}` : ""}\n\n` +
      `curl${key} ${root}/v1/sessions \\\n  -H 'content-type: application/json' -d '${wanted}'\n` +
      `curl${key} ${root}/v1/sessions/SESSION_ID/events \\\n  --data-binary @recording.dat`,
  );
}

/** Announce every few seconds, for screen readers. */
function speak() {
  const tile = wall.selected;
  say("spoken", tile?.running ? `${tile.name}: ${countsOf(tile.boxes)}` : "");
}

element("demo").addEventListener("click", toggleCamera);
element("demo-large").addEventListener("click", () => element("demo").click());
element("open").addEventListener("click", () => element("file").click());
slider.addEventListener("input", () => {
  wall.setConfidence(Number(slider.value));
  showConfidence();
});
listenForFiles(element("drop-sign"), element("file"), (files) => recordings.run(files));
listenForKeys(wall);
listenForTheme(element("theme"), () => {
  wall.tiles.forEach((tile) => tile.redraw(true));
  panel.show(wall.selected);
});
unlock(element("metrics"), (problem) => complain("metrics", problem));
addEventListener("pagehide", () => camera.end());
setInterval(speak, SPEAK_MS);
showConfidence();
showCommands();
await loadModels(); // asks for a key, where one is needed
for (const id of asked.getAll("session")) wall.add(id);
sessions.poll();
if (!wall.tiles.length) new Thumbnail(element("thumbnail")).start().catch(() => {}); // the page works without it
