/** Asks for the size of the sensor, where a recording does not name it. */

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

/**
 * @param {string} name of the recording
 * @returns {Promise<?{width: number, height: number}>} null if the user does not say
 */
export function askSize(name) {
  const dialog = /** @type {HTMLDialogElement} */ (element("size"));
  element("size-name").textContent = name;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      const [width, height] = [Number(element("size-width").value), Number(element("size-height").value)];
      resolve(dialog.returnValue === "run" && width > 0 && height > 0 ? { width, height } : null);
    };
  });
}
