/** Rows of small tables, made anew only where they changed. */

/** @typedef {{ink?: string, cells: string[]}} Row the first cell is its heading */

/** @param {HTMLElement} body of a table @param {Row[]} rows */
export function setRows(body, rows) {
  const key = JSON.stringify(rows);
  if (body.dataset.rows === key) return;
  body.dataset.rows = key;
  body.querySelector("tbody")?.replaceChildren(...rows.map(rowOf));
}

/** @param {Row} row */
function rowOf({ ink, cells }) {
  const row = document.createElement("tr");
  cells.forEach((text, i) => {
    const cell = document.createElement(i ? "td" : "th");
    cell.textContent = text;
    if (!i) cell.scope = "row";
    if (!i && ink) {
      cell.className = "class";
      cell.style.setProperty("--ink", ink);
    }
    row.append(cell);
  });
  return row;
}
