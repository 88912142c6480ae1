/** What a tile looks like: its elements, and how they say what the tile knows. */

import { clock, sessionFacts } from "./words.js";

/**
 * @typedef {import("./api.js").Detection} Detection
 * @typedef {import("./reel.js").Reel} Reel
 */

export class Face {
  root;

  /** @param {Record<string, () => void>} acts what each button does, by its class @param {() => void} onTouch */
  constructor(acts, onTouch) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("tile"));
    this.root = /** @type {HTMLElement} */ (template.content.cloneNode(true)).firstElementChild;
    for (const [name, act] of Object.entries(acts)) this.part(name).addEventListener("click", act);
    for (const event of ["pointerdown", "focusin"]) this.root.addEventListener(event, onTouch);
  }

  /** @param {string} name a class @returns {any} the element that has it */
  part(name) {
    return this.root.querySelector(`.${name}`);
  }

  /** @param {boolean} selected */
  setSelected(selected) {
    this.root.classList.toggle("selected", selected);
    this.part("pick").setAttribute("aria-pressed", String(selected));
  }

  /** @param {string} name @param {?import("./api.js").Session} session */
  setName(name, session) {
    this.#say("name", name);
    this.#say("kind", session ? sessionFacts(session) : "");
    this.#say("session-weights", session?.model ?? "");
    this.root.setAttribute("aria-label", name);
  }

  /** @param {import("./watch.js").State} state @param {string} text */
  setState(state, text) {
    this.root.dataset.state = state;
    this.#say("status", text);
  }

  /** @param {[number, number]} sensor */
  setShape([width, height]) {
    this.root.style.setProperty("--w", String(width));
    this.root.style.setProperty("--h", String(height));
  }

  /** @param {Reel} reel @param {boolean} zoomed @param {boolean} canFollow whether more may come live */
  showControls(reel, zoomed, canFollow) {
    const playing = reel.mode !== "still";
    this.root.classList.toggle("playing", playing);
    this.root.classList.toggle("zoomed", zoomed);
    this.part("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    this.part("live").hidden = !canFollow;
    this.part("live").setAttribute("aria-pressed", String(reel.mode === "follow"));
    this.part("forth").disabled = reel.newest;
    this.part("back").disabled = reel.at <= reel.first;
    this.part("fit").disabled = this.part("out").disabled = !zoomed;
    const newest = reel.moment(reel.last);
    const wholeUs = newest && !canFollow ? reel.since(newest) : undefined;
    this.#say("time", reel.now ? clock(reel.since(reel.now), wholeUs) : "");
    this.part("speed").value = String(reel.speed);
    this.part("speed").hidden = reel.mode === "follow";
  }

  /** @param {string[]} facts @param {number} dropped windows */
  showFacts(facts, dropped) {
    this.#say("facts-list", facts.join(" · "));
    this.part("facts-list").classList.toggle("warn", dropped > 0);
  }

  /** For screen readers. @param {Detection[]} boxes that are shown */
  showNames(boxes) {
    const names = boxes.map((box) => `${box.label} ${box.confidence.toFixed(2)}`).join(", ");
    this.part("sheet").setAttribute("aria-label", `Events and boxes: ${names || "no boxes"}`);
  }

  /** @param {string} name @param {string} text */
  #say(name, text) {
    if (this.part(name).textContent !== text) this.part(name).textContent = text;
  }
}
