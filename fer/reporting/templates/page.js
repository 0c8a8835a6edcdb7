"use strict";
// A click on the heading of a column sorts a table by it; another click turns the order round.
function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replace(/[, ]/g, "").replace(/^[^0-9.+-]*(?=[+-]?[0-9])/, ""));
  return { text, number: text === "\u2013" || text === "" ? NaN : number };
}
function sort(table, column, button) {
  const body = table.tBodies[0];
  const heading = button.closest("th");
  const descending = heading.getAttribute("aria-sort") === "ascending";
  const rows = Array.from(body.rows, (row) => [value(row, column), row]);
  const numbers = heading.classList.contains("number");
  rows.sort(([a], [b]) => {
    if (!numbers) return (descending ? -1 : 1) * a.text.localeCompare(b.text, "en", { numeric: true });
    if (Number.isNaN(a.number) || Number.isNaN(b.number)) return Number.isNaN(a.number) - Number.isNaN(b.number);
    return (descending ? -1 : 1) * (a.number - b.number);
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...rows.map(([, row]) => row));
}
for (const table of document.querySelectorAll("table")) {
  if (!table.tHead || table.tBodies[0].rows.length < 2) continue;
  Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, column, button));
  });
}
