/**
 * DAT recordings: lines that begin with `% `, two bytes (type and size of an event), then records of 8 bytes:
 * time in µs and an address, both unsigned 32-bit little-endian.
 */

const RECORD_BYTES = 8;
const PERCENT = "%".charCodeAt(0);
const NEWLINE = "\n".charCodeAt(0);

export class DatRecording {
  #view;
  #bodyStart;

  /** @param {ArrayBuffer} buffer */
  constructor(buffer) {
    this.bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    let end = 0;
    while (this.bytes[end] === PERCENT) end = this.bytes.indexOf(NEWLINE, end) + 1;
    const header = new TextDecoder("latin1").decode(this.bytes.subarray(0, end));
    this.width = Number(/^% Width (\d+)/m.exec(header)?.[1]);
    this.height = Number(/^% Height (\d+)/m.exec(header)?.[1]);
    this.#bodyStart = end + 2;
  }

  /** @param {number} offset of a record @returns {number} its time in µs */
  timeAt(offset) {
    return this.#view.getUint32(offset, true);
  }

  get firstTimeUs() {
    return this.timeAt(this.#bodyStart);
  }

  /**
   * @param {number} offset where to begin; 0 begins before the header
   * @param {number} dueUs
   * @returns {number} offset of the first whole record that is later than `dueUs`, or the end of the records
   */
  offsetAfter(offset, dueUs) {
    const last = this.bytes.length - RECORD_BYTES;
    let next = Math.max(offset, this.#bodyStart);
    while (next <= last && this.timeAt(next) <= dueUs) next += RECORD_BYTES;
    return next;
  }

  /**
   * @param {number} offset where to begin; 0 begins before the header
   * @param {number} end
   * @returns {Generator<{x: number, y: number, on: boolean}>}
   */
  *events(offset, end) {
    for (let next = Math.max(offset, this.#bodyStart); next < end; next += RECORD_BYTES) {
      const address = this.#view.getUint32(next + 4, true);
      yield { x: address & 0x3fff, y: (address >> 14) & 0x3fff, on: ((address >> 28) & 1) === 1 };
    }
  }

  /** @param {number} offset */
  endsAt(offset) {
    return offset + RECORD_BYTES > this.bytes.length;
  }
}
