/** Records a canvas while it plays: MP4 where the browser can make it, else WebM. */

const KINDS = [
  { mime: "video/mp4;codecs=avc1.42E01F", ending: "mp4" },
  { mime: "video/mp4", ending: "mp4" },
  { mime: "video/webm;codecs=vp9", ending: "webm" },
  { mime: "video/webm", ending: "webm" },
];
const RATE = 30;
const BITS_PER_S = 8_000_000;

/** @returns {?{mime: string, ending: string}} null: this browser records nothing */
export const videoKind = () => KINDS.find(({ mime }) => window.MediaRecorder?.isTypeSupported(mime)) ?? null;

/**
 * @param {HTMLCanvasElement} canvas @param {string} mime
 * @returns {() => Promise<Blob>} ends it
 */
export function record(canvas, mime) {
  const recorder = new MediaRecorder(canvas.captureStream(RATE), { mimeType: mime, videoBitsPerSecond: BITS_PER_S });
  const parts = /** @type {Blob[]} */ ([]);
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const stopped = new Promise((done) => (recorder.onstop = () => done(null)));
  recorder.start();
  return async () => {
    recorder.stop();
    await stopped;
    return new Blob(parts, { type: mime });
  };
}
