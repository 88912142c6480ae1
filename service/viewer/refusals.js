/** Files that were not run, each with the reason, until the user takes the line away. */

const MOST = 5;

/** @param {HTMLElement} list @param {string} name of the file @param {string} problem */
export function refuse(list, name, problem) {
  const item = document.createElement("li");
  const strong = document.createElement("strong");
  strong.textContent = name;
  const close = document.createElement("button");
  Object.assign(close, { type: "button", className: "plain", textContent: "Dismiss" });
  close.setAttribute("aria-label", `Dismiss the message about ${name}`);
  close.addEventListener("click", () => {
    item.remove();
    list.hidden = !list.children.length;
  });
  item.append(strong, ` ${problem} `, close);
  list.append(item);
  while (list.children.length > MOST) list.firstElementChild?.remove();
  list.hidden = false;
}
