/**
 * What has been seen of one session, and where in it the viewer stands.
 *
 * follow: at the newest moment, always. play: onwards at the camera's rate. still: at one moment.
 *
 * @typedef {{slice: import("./api.js").Slice, windows: import("./api.js").Window[],
 *   latest: ?import("./api.js").Window, jumped: boolean}} Moment a slice, the results that it completed, the
 *   newest result by then, and whether time jumped before it
 * @typedef {"follow" | "play" | "still"} Mode
 */

/** Two minutes at 20 slices a second. */
const KEPT = 2400;
/** Ten minutes of a recording that runs faster than it is played. */
const KEPT_UNPLAYED = 12_000;
const FORGOTTEN_AT_ONCE = 200;
/** Slices' worth of time for which the newest moment grows older; then it stands, until there is another. */
const LONGEST_WAIT = 1;

export class Reel {
  #moments = /** @type {Moment[]} */ ([]);
  #first = 0;
  #at = -1;
  #elapsedUs = 0;
  #brokenOff = false;
  #startUs = Infinity;
  mode = /** @type {Mode} */ ("follow");
  /** Stream time for a unit of time while playing. */
  speed = 1;

  /** @param {Mode} mode @param {boolean} [keepAll] much is kept that was not played yet */
  constructor(mode, keepAll = false) {
    this.mode = mode;
    this.keepAll = keepAll;
  }

  /** Number of the oldest moment kept; numbers do not change as others are forgotten. */
  get first() {
    return this.#first;
  }

  /** Number of the newest moment, first - 1 if there is none. */
  get last() {
    return this.#first + this.#moments.length - 1;
  }

  /** Number of the moment shown. */
  get at() {
    return this.#at;
  }

  /** Time since the moment shown, in microseconds of the stream. */
  get elapsedUs() {
    return this.#elapsedUs;
  }

  get newest() {
    return this.#at === this.last;
  }

  /** @param {number} number @returns {Moment | undefined} */
  moment(number) {
    return this.#moments[number - this.#first];
  }

  /** The moment shown. */
  get now() {
    return this.moment(this.#at);
  }

  /** Time of the moment's end since the first slice that was seen. @param {Moment} moment @returns {number} in us */
  since({ slice }) {
    return this.sinceStart(slice.t1_us);
  }

  /** @param {number} us time in the stream @returns {number} since the first slice that was seen */
  sinceStart(us) {
    return us - this.#startUs;
  }

  /** What comes next was not seen in one piece with what came before: numbers of tracks may begin anew. */
  breakOff() {
    this.#brokenOff = true;
  }

  /** @param {import("./api.js").Slice} slice */
  addSlice(slice) {
    if (this.#brokenOff) this.#rewind(slice);
    const before = this.#moments.at(-1);
    const jumped = before !== undefined && (this.#brokenOff || slice.t0_us !== before.slice.t1_us);
    const latest = this.#brokenOff ? null : (before?.latest ?? null);
    this.#brokenOff = false;
    this.#startUs = Math.min(this.#startUs, slice.t0_us);
    this.#moments.push({ slice, windows: [], latest, jumped });
    if (this.mode === "follow" || this.#at < this.#first) this.seek(this.mode === "follow" ? this.last : this.#first);
    this.#forget();
  }

  /** @param {import("./api.js").Window} window of the slice that came last */
  addWindow(window) {
    const moment = this.#moments.at(-1);
    if (!moment) return;
    moment.windows.push(window);
    moment.latest = window;
  }

  /** @param {number} number */
  seek(number) {
    this.#at = Math.max(this.#first, Math.min(number, this.last));
    this.#elapsedUs = 0;
  }

  /** One moment on, or back, and stay there. @param {number} count */
  step(count) {
    this.mode = "still";
    this.seek(this.#at + count);
  }

  /** Let time pass. @param {number} us @returns {boolean} whether another moment is shown now */
  advance(us) {
    if (this.mode === "still") return false;
    const before = this.#at;
    this.#elapsedUs += this.mode === "play" ? us * this.speed : us;
    while (this.mode === "play" && this.#at < this.last && this.#elapsedUs >= this.#spanUs()) {
      this.#elapsedUs -= this.#spanUs();
      this.#at += 1;
    }
    if (this.now) this.#elapsedUs = Math.min(this.#elapsedUs, LONGEST_WAIT * this.#spanUs());
    return this.#at !== before;
  }

  /** The newest of the results up to the moment shown, oldest first. @param {number} count */
  windows(count) {
    const found = /** @type {import("./api.js").Window[]} */ ([]);
    for (let i = this.#at; i >= this.#first && found.length < count; i--) {
      found.push(...(this.moment(i)?.windows.toReversed() ?? []));
    }
    return found.slice(0, count).reverse();
  }

  /** Forget what is sent again, or was of another stream. @param {import("./api.js").Slice} next */
  #rewind({ t0_us, sensor }) {
    const goesBefore = ({ slice }) => slice.t1_us <= t0_us && String(slice.sensor) === String(sensor);
    while (this.#moments.length && !goesBefore(this.#moments[this.#moments.length - 1])) this.#moments.pop();
    this.#at = Math.min(this.#at, this.last);
  }

  #spanUs() {
    const { slice } = /** @type {Moment} */ (this.now);
    return slice.t1_us - slice.t0_us;
  }

  #forget() {
    const played = this.#at - this.#first;
    const most = this.keepAll && played < FORGOTTEN_AT_ONCE ? KEPT_UNPLAYED : KEPT;
    if (this.#moments.length <= most + FORGOTTEN_AT_ONCE) return;
    this.#moments.splice(0, FORGOTTEN_AT_ONCE);
    this.#first += FORGOTTEN_AT_ONCE;
    if (this.#at < this.#first) this.seek(this.#first);
  }
}
