/** Ids of sessions. */

const HEX = 16;

/**
 * Where keys are asked for, the service puts 12 hexadecimal digits of the key's own and a dash before an id. It takes
 * ids with or without them, so one session may go by two names.
 *
 * @param {string} id
 */
export const ownPart = (id) => id.replace(/^[0-9a-f]{12}-/, "");

/** @param {string} id @param {string} other */
export const isSame = (id, other) => ownPart(id) === ownPart(other);

/** @param {string} id shortened for people */
export const shortId = (id) => ownPart(id).slice(0, 8);

export const randomId = () =>
  [...crypto.getRandomValues(new Uint8Array(HEX))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
