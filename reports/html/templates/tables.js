// ---------------------------------------------------------------- tables: sorted, fitted to the page, taken away

for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead button").forEach((button, column) => button.addEventListener("click", () => {
    const head = button.closest("th");
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => {
      const cell = row.children[column];
      if (column === 0) return cell.textContent;
      return cell.dataset.value === undefined ? NaN : Number(cell.dataset.value);
    };
    const order = (a, b) => (column === 0 ? value(a).localeCompare(value(b), "en") : value(a) - value(b));
    const rows = [...table.tBodies[0].rows];
    const known = rows.filter((row) => column === 0 || !Number.isNaN(value(row)));
    known.sort((a, b) => (down ? -1 : 1) * order(a, b));
    table.tBodies[0].append(...known, ...rows.filter((row) => !known.includes(row)));
  }));
}

const grids = [...document.querySelectorAll(".grid")].map((grid) => ({
  grid, box: grid.querySelector(".scroll"), table: grid.querySelector("table"), hint: grid.querySelector(".hint"),
}));

// A table that is wider than the page shows whole columns only: they are made as wide as fills what the first leaves.
function fitTables() {
  if (printing) return;
  for (const { grid, box, table } of grids) {
    grid.classList.remove("wide");
    table.style.width = "min-content";
    const room = box.clientWidth;
    const [first, ...needed] = [...table.rows[0].cells].map((cell) => cell.getBoundingClientRect().width);
    table.style.width = "";
    if (first + needed.reduce((sum, width) => sum + width, 0) <= room) continue;
    const lead = Math.min(first, Math.max(0.38 * room, 118));
    const most = Math.min(Math.max(...needed), room - lead);
    const each = Math.floor((room - lead) / Math.floor((room - lead) / most));
    const rest = room - each * Math.round((room - lead) / each);
    grid.style.setProperty("--lead", `${rest}px`);
    grid.style.setProperty("--each", `${each}px`);
    table.style.width = `${rest + each * needed.length}px`;
    grid.classList.add("wide");
  }
  for (const one of grids) {
    shorten(one);
    hint(one);
  }
}

const mostRows = 14; // which a table shows without scrolling

// A long table ends below a whole row.
function shorten({ box, table }) {
  box.style.maxHeight = table.rows.length > mostRows ? "" : "none";
  const most = parseFloat(getComputedStyle(box).maxHeight);
  if (!(box.scrollHeight > most + 1)) return;
  const top = box.getBoundingClientRect().top - box.scrollTop;
  const ends = [...table.rows].map((row) => row.getBoundingClientRect().bottom - top).filter((end) => end <= most);
  box.style.maxHeight = `${Math.ceil(ends[ends.length - 1]) + box.offsetHeight - box.clientHeight}px`;
}

// Says how much of a table lies beyond its edges, and which way.
function hint({ grid, box, table, hint: line }) {
  const edge = box.getBoundingClientRect();
  const right = [...table.rows[0].cells].filter((cell) => cell.getBoundingClientRect().left >= edge.left + box.clientWidth - 2);
  const below = [...table.tBodies[0].rows].filter((row) => !row.hidden && row.getBoundingClientRect().top >= edge.top + box.clientHeight - 2);
  const more = (n, thing) => `${n} more ${thing}${n === 1 ? "" : "s"}`;
  const said = [];
  if (right.length) said.push(`→ ${more(right.length, "column")}`);
  if (below.length) said.push(`↓ ${more(below.length, "row")}`);
  const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
  line.hidden = !scrolls;
  line.textContent = said.length ? `Scroll this table: ${said.join(", ")}` : "The end of this table: scroll back ←↑";
  grid.classList.toggle("more-right", right.length > 0);
  grid.classList.toggle("more-below", below.length > 0);
}

// On paper every column is there: letters get as small as that takes.
function shrinkTables(width) {
  for (const { grid, box, table } of grids) {
    grid.classList.remove("wide");
    box.style.maxHeight = "";
    table.style.cssText = "font-size: 9.5px; width: min-content";
    const needed = table.getBoundingClientRect().width;
    table.style.cssText = `font-size: ${Math.min(9.5, (9.5 * width) / needed).toFixed(2)}px`;
  }
}

// The rows in sight; a column whose figures have an interval or a remark beside them is followed by one with these.
function tableRows(table) {
  const rows = [...table.rows].filter((row) => !row.hidden);
  const beside = (cell) => [...cell.querySelectorAll(".small, .tag")].map((part) => part.textContent.trim()).join(" ");
  const whole = (cell) => cell.textContent.trim().replace(/\s+/g, " ");
  const own = (cell) => cell.dataset.value ?? whole(cell).replace(beside(cell), "").trim();
  const doubled = [...rows[0].cells].map((_, c) => rows.some((row) => row.cells[c] && beside(row.cells[c])));
  const texts = (cell, c) => (doubled[c] ? [own(cell), beside(cell)] : [own(cell)]);
  return rows.map((row) => [...row.cells].flatMap(texts));
}

for (const one of grids) {
  one.box.addEventListener("scroll", () => hint(one), { passive: true });
  const { table } = one;
  const spoken = one.grid.querySelector(".caption").textContent;
  const csv = button("CSV", `Save the table: ${spoken}`, () => saveCsv(table.id, tableRows(table)));
  one.grid.prepend(toolbar(csv));
}
