"use strict";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function colours() {
  const ink = dark.matches ? "#e8e8e8" : "#1a1a1a", line = dark.matches ? "#444" : "#ddd";
  const text = { labelColor: ink, titleColor: ink };
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    axis: { ...text, gridColor: line, domainColor: line, tickColor: line },
    legend: { ...text, orient: "bottom", columns: 2, labelLimit: 220 },
    header: text,
    view: { stroke: line },
    range: { category: { scheme: dark.matches ? "set2" : "dark2" } },
  };
}

async function draw() {
  for (const place of document.querySelectorAll(".chart")) {
    const spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
    if (spec.facet) spec.columns = Math.max(1, Math.floor(place.clientWidth / 260));
    await vegaEmbed(place, spec, { actions: false, renderer: "svg", config: colours() });
    place.dataset.drawn = "yes";
  }
}

function compare(first, second) {
  if (first === second) return 0;
  if (first === "" || second === "") return first === "" ? 1 : -1;
  const difference = Number(first) - Number(second);
  return Number.isNaN(difference) ? first.localeCompare(second, undefined, { numeric: true }) : difference;
}

function sortBy(table, header) {
  const column = header.cellIndex, falling = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const rows = [...table.tBodies[0].rows];
  rows.sort((first, second) => {
    const a = value(first), b = value(second);
    // A missing value stands at the end, whichever way the rest is sorted.
    return falling && a !== "" && b !== "" ? -compare(a, b) : compare(a, b);
  });
  table.tBodies[0].append(...rows);
}

function filter(input) {
  const table = document.getElementById(input.dataset.filters), wanted = input.value.trim().toLowerCase();
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
    shown += !row.hidden;
  }
  document.getElementById(`${table.id}-count`).textContent = `${shown} of ${table.tBodies[0].rows.length} rows`;
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const header of table.tHead.rows[0].cells) {
    header.querySelector("button").addEventListener("click", () => sortBy(table, header));
  }
}
for (const input of document.querySelectorAll("input[data-filters]")) {
  input.addEventListener("input", () => filter(input));
}
dark.addEventListener("change", draw);
draw();
