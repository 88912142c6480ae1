/** Files dragged onto the page, or chosen with a button. */

/**
 * @param {HTMLElement} sign shown while a file hovers over the page
 * @param {HTMLInputElement} chooser
 * @param {(files: File[]) => void} onFiles
 */
export function listenForFiles(sign, chooser, onFiles) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const hover = (change) => {
    depth = Math.max(0, depth + change);
    sign.hidden = depth === 0;
  };
  addEventListener("dragenter", (event) => carriesFiles(event) && hover(1));
  addEventListener("dragleave", (event) => carriesFiles(event) && hover(-1));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    hover(0);
    onFiles([...(event.dataTransfer?.files ?? [])]);
  });
  chooser.addEventListener("change", () => {
    onFiles([...(chooser.files ?? [])]);
    chooser.value = "";
  });
}
