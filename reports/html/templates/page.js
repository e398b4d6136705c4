// ---------------------------------------------------------------- charts: drawn when seen, zoomed, taken away

// A legend that does not fit beside itself on a phone gets room of its own.
function drawChart({ id, traces, layout, height }) {
  const lines = traces.filter((trace) => trace.showlegend !== false && trace.name).length;
  byId(id).style.height = `${height + (narrow() ? 17 * lines : 0)}px`;
  return draw(id, traces, layout);
}

const drawers = new Map(data.charts.map((chart) => [chart.id, () => drawChart(chart)]));
if (byId("frontier")) drawers.set("frontier", frontier);
if (byId("key-plot")) drawers.set("key-plot", drawKeys);
const drawn = new Set();
const drawOnce = (id) => {
  if (drawn.has(id) || !drawers.has(id)) return;
  drawn.add(id);
  drawers.get(id)();
  if (id === "frontier") for (const name of ["plotly_hover", "plotly_click"]) byId(id).on(name, showPoint);
};
// A choice at the top has the colour that its policy has in the charts.
const paintChoices = () => {
  for (const box of document.querySelectorAll(".choice[data-look]")) {
    box.style.borderTopColor = palette()[cycle[Number(box.dataset.look) % cycle.length]];
  }
};
paintChoices();
const redraw = () => {
  paintChoices();
  if (byId("frontier")) chips();
  for (const id of drawn) drawers.get(id)();
};

function button(text, label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", () => act(made));
  return made;
}

function toolbar(...buttons) {
  const bar = document.createElement("div");
  bar.className = "tools";
  bar.append(...buttons);
  return bar;
}

// What leaves the page leaves as a file that the page makes itself: nothing is asked of any server.
function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function saveCsv(name, rows) {
  // A cell that starts like a formula would be one in a spreadsheet; a quote before it keeps it text.
  const safe = (text) => (/^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text);
  const quoted = (value) => `"${safe(String(value ?? "")).replace(/"/g, '""')}"`;
  const text = rows.map((row) => row.map(quoted).join(",")).join("\r\n");
  save(`${name}.csv`, new Blob([`\ufeff${text}\r\n`], { type: "text/csv" }));
}

async function savePng(id, title) {
  const plot = byId(id);
  const head = { text: plain(title), x: 0, xref: "paper", font: { size: 16 } };
  const layout = { ...plot.layout, paper_bgcolor: palette().paper, title: head, autosize: false };
  layout.margin = { ...layout.margin, t: layout.margin.t + 70 };
  const size = { width: plot.offsetWidth, height: plot.offsetHeight + 70 };
  const url = await Plotly.toImage({ data: plot.data, layout }, { format: "png", scale: 2, ...size });
  const bytes = Uint8Array.from(atob(url.split(",")[1]), (letter) => letter.charCodeAt(0));
  save(`${id}.png`, new Blob([bytes], { type: "image/png" }));
}

// The points of a chart as rows: the series, where each point lies, and its interval where it has one.
function chartRows(plot) {
  const text = document.createElement("textarea"); // which turns Plotly's entities back into the letters they stand for
  const raw = (value) => {
    text.innerHTML = String(value ?? "").replace(/<br>/g, " ");
    return text.value;
  };
  const { xaxis, yaxis } = plot.layout;
  const named = (axis, value) => {
    const at = (axis.tickvals || []).indexOf(value);
    if (at >= 0 && axis.ticktext) return raw(axis.ticktext[at]);
    return axis.type === "date" ? new Date(value).toISOString() : value;
  };
  const end = (bar, key, value, i, sign) => (bar && bar[key] ? value + sign * bar[key][i] : "");
  const name = (axis, instead) => raw((axis.title && axis.title.text) || instead);
  const ends = (way) => [`${way} low`, `${way} high`];
  const rows = [["series", name(xaxis, "x"), ...ends("across:"), name(yaxis, "y"), ...ends("up:")]];
  for (const trace of plot.data) {
    (trace.x || []).forEach((x, i) => {
      const y = trace.y[i];
      const [across, up] = [trace.error_x, trace.error_y];
      rows.push([
        raw(trace.name), named(xaxis, x), end(across, "arrayminus", x, i, -1), end(across, "array", x, i, 1),
        named(yaxis, y), end(up, "arrayminus", y, i, -1), end(up, "array", y, i, 1),
      ]);
    });
  }
  return rows;
}

for (const plot of document.querySelectorAll(".plot")) {
  const { id } = plot;
  const title = byId(`${id}-title`)?.textContent || plot.closest("section").querySelector("h2").textContent;
  const whole = button("Whole", `Show all of ${title} again`, () => drawers.get(id)());
  const zoom = button("Zoom", `Drag a box to enlarge a part of ${title}`, (self) => {
    zooming.set(id, !zooms(id));
    self.setAttribute("aria-pressed", String(zooms(id)));
    Plotly.relayout(id, { dragmode: zooms(id) ? "zoom" : false });
  });
  zoom.setAttribute("aria-pressed", String(zooms(id)));
  const png = button("PNG", `Save ${title} as a picture`, () => savePng(id, title));
  const csv = button("CSV", `Save the points of ${title}`, () => saveCsv(id, chartRows(plot)));
  plot.before(toolbar(zoom, whole, png, csv));
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) drawOnce(entry.target.id);
}, { rootMargin: "400px" });
for (const plot of document.querySelectorAll(".plot")) seen.observe(plot);

if (byId("frontier")) {
  chips();
  for (const id of ["axis-x", "axis-y", "show-intervals"]) byId(id).addEventListener("change", frontier);
  byId("name-filter").addEventListener("input", frontier);
  byId("group-by").addEventListener("change", () => { hiddenGroups.clear(); chips(); frontier(); });
}
if (byId("key-plot")) for (const id of ["key", "key-metric"]) byId(id).addEventListener("change", drawKeys);
for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
darkness.addEventListener("change", redraw);

// ---------------------------------------------------------------- paper

function toPaper() {
  if (printing) return;
  printing = true;
  document.documentElement.classList.add("printing");
  for (const part of document.querySelectorAll("details")) part.open = true;
  for (const id of drawers.keys()) drawn.add(id);
  redraw();
  shrinkTables(paperWidth);
}

function fromPaper() {
  if (!printing) return;
  printing = false;
  document.documentElement.classList.remove("printing");
  fitTables();
  redraw();
}

addEventListener("beforeprint", toPaper);
addEventListener("afterprint", fromPaper);
matchMedia("print").addEventListener("change", (event) => (event.matches ? toPaper() : fromPaper()));
fitTables();
addEventListener("resize", fitTables);
document.documentElement.dataset.ready = "true";
