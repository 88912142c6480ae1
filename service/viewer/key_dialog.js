/** The API key, where the service asks for one: kept for this tab alone, and never part of an address. */

const KEPT_AS = "spikewatch-key";

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

/** @returns {string} the key to send, "" if there is none */
export function heldKey() {
  try {
    return sessionStorage.getItem(KEPT_AS) ?? "";
  } catch {
    return ""; // a browser that lets pages keep nothing
  }
}

/** True from when the user left the dialog without a key until they enter one: asking again and again would annoy. */
export const isLocked = () => !element("enter-key").hidden;

/**
 * Ask for another key; calls while the dialog is open share its answer.
 *
 * @param {string} tried the key that the service did not take, "" if it got none
 * @returns {Promise<boolean>} true if there is another to try
 */
export async function askKey(tried) {
  if (heldKey() === tried && !isLocked()) {
    if (!element("key").open) show(tried !== "");
    await new Promise((resolve) => element("key").addEventListener("close", resolve, { once: true }));
  }
  return heldKey() !== "";
}

/** @param {boolean} wrong say that the last one was */
function show(wrong) {
  const [dialog, input, again] = [element("key"), element("key-text"), element("enter-key")];
  input.value = "";
  element("key-wrong").hidden = !wrong;
  dialog.returnValue = "";
  dialog.onclose = () => {
    const key = dialog.returnValue === "use" ? input.value.trim() : "";
    input.value = "";
    if (key) sessionStorage.setItem(KEPT_AS, key);
    else sessionStorage.removeItem(KEPT_AS);
    again.hidden = key !== "";
    again.onclick = () => show(false);
  };
  dialog.showModal();
}
