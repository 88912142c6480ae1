/**
 * The service's HTTP interface.
 *
 * @typedef {{x: number, y: number, w: number, h: number, class_id: number, label: string,
 *   confidence: number, track_id: number}} Detection
 * @typedef {{t0_us: number, t1_us: number, events: number, sensor: [number, number], png: string,
 *   missed_slices: number}} Slice
 * @typedef {{seq: number, t_start_us: number, t_end_us: number, events: number, detections: Detection[],
 *   firing_rate: number, energy_mj: {snn: number, ann: number}, latency_ms: number, dropped_windows: number,
 *   training: string, layer_rates: Record<string, number>, zones?: ZoneCount[]}} Window
 * @typedef {{zone: string, entered: Record<string, number>, left: Record<string, number>,
 *   inside: Record<string, number>, mean_dwell_s: ?number}} ZoneCount
 * @typedef {{name: string, polygon?: ?[number, number][], line?: ?[number, number][]}} Zone corners in sensor pixels
 * @typedef {{session_id: string, stream_url: string, format: string, width: ?number, height: ?number,
 *   slice_us: number, slices: number, hop: number, confidence: number, policy: string, model: string,
 *   class_names?: string[],
 *   zones?: Zone[]}} Session
 * @typedef {{ticket: string, stream_url: string, watch_url: string}} Ticket
 * @typedef {{name: string, training: string, parameters: number, slice_us: number, slices: number}} Model
 */

import { askKey, heldKey, isLocked } from "./key_dialog.js";

/** Where the service is, behind a proxy perhaps with a path of its own: this module lies in its folder `viewer/`. */
export const ROOT = new URL("../", import.meta.url);

/** What the service says is wrong, in its own words, with its stable code. */
export class Problem extends Error {
  /** @param {string} detail @param {string} [code] @param {object} [members] what else it says, by name */
  constructor(detail, code = "", members = {}) {
    super(detail);
    this.code = code;
    this.members = members;
  }
}

/** @returns {Promise<Session[]>} all open sessions */
export const listSessions = async () => (await request("/v1/sessions")).sessions;

/** @returns {Promise<Model[]>} those that may be asked for, the service's own choice first */
export const listModels = async () => (await request("/v1/models")).models;

/**
 * @param {object} wanted the choices of `POST /v1/sessions`
 * @returns {Promise<Session>}
 */
export const openSession = (wanted) =>
  request("/v1/sessions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(wanted),
  });

/** As the page goes away: nobody waits for the answer. @param {string} id of a session */
export function endSession(id) {
  const key = heldKey();
  const headers = key ? { "x-api-key": key } : {};
  fetch(new URL(`v1/sessions/${encodeURIComponent(id)}`, ROOT), { method: "DELETE", keepalive: true, headers }).catch(() => {});
}

/**
 * Run a recording; fulfilled once all of it has been run.
 *
 * @param {Blob} recording @param {Record<string, any>} wanted the query of `POST /v1/detections`
 * @param {AbortSignal} signal breaks it off
 */
export async function runRecording(recording, wanted, signal) {
  const query = new URLSearchParams(wanted);
  const answer = await checked(`/v1/detections?${query}`, { method: "POST", body: recording, signal });
  const last = JSON.parse((await answer.text()).trim().split("\n").pop() ?? "{}");
  if (last.error) throw new Problem(last.error.detail, last.error.code);
}

/**
 * @param {string} path
 * @returns {Promise<ArrayBuffer>}
 */
export const getBytes = async (path) => (await checked(path)).arrayBuffer();

/** @param {string} path @returns {Promise<string>} */
export const getText = async (path) => (await checked(path)).text();

/**
 * @param {string} id of a session @param {"watch" | "stream"} kind
 * @returns {Promise<string>} a WebSocket's address, good for one connection: browsers send no headers there, so
 *   a client with a key gets a ticket for it
 */
export async function socketUrl(id, kind) {
  checkLock();
  const path = `/v1/sessions/${encodeURIComponent(id)}`;
  const ticket = heldKey() && /** @type {Ticket} */ (await request(`${path}/ticket`, { method: "POST" }));
  const url = ticket ? new URL(ticket[`${kind}_url`], ROOT) : new URL(`.${path}/${kind}`, ROOT);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** @param {string} path @param {RequestInit} [options] */
const request = async (path, options) => (await checked(path, options)).json();

/**
 * The answer to a request that went well. Where the service takes no key but another, the user is asked for it.
 *
 * @param {string} path @param {RequestInit} [options] @returns {Promise<Response>}
 */
async function checked(path, options) {
  checkLock();
  const key = heldKey();
  const headers = { ...options?.headers, ...(key && { "x-api-key": key }) };
  const response = await answer(path, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401 && (await askKey(key))) return checked(path, options);
  const problem = await response.json().catch(() => ({}));
  throw new Problem(problem.detail ?? `The service answered ${response.status} to ${path}.`, problem.code, problem);
}

/** Ask for nothing that would be refused. */
function checkLock() {
  if (isLocked()) throw new Problem("This service asks for a key.", "key_missing");
}

/** @param {string} path @param {RequestInit} options */
async function answer(path, options) {
  try {
    return await fetch(new URL(`.${path}`, ROOT), options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem("The service does not answer.");
  }
}
