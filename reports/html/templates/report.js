"use strict";
// The charts of a report: draws each when it comes into view, keeps to light and dark, and lets the reader choose what
// the cost-accuracy plot shows. All data comes from the JSON in the page; names are text, never markup.
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const byId = (id) => document.getElementById(id);
  const palettes = {
    light: {
      ink: "#1a1a1a", grey: "#666666", grid: "#e6e6e6", paper: "#ffffff", blue: "#0072B2", vermilion: "#D55E00",
      green: "#009E73", purple: "#CC79A7", orange: "#E69F00", sky: "#56B4E9", band: "rgba(0,114,178,0.18)",
      area: "rgba(86,180,233,0.45)",
    },
    dark: {
      ink: "#e8e8e8", grey: "#a0a0a0", grid: "#333a40", paper: "#14171a", blue: "#4AA8E0", vermilion: "#F07F3C",
      green: "#2FC79B", purple: "#E39CC4", orange: "#F2B632", sky: "#8CCBF2", band: "rgba(74,168,224,0.25)",
      area: "rgba(140,203,242,0.35)",
    },
  };
  const cycle = ["blue", "vermilion", "green", "purple", "orange", "ink", "sky"];
  const symbols = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star"];
  let printing = false;
  const palette = () => palettes[darkness.matches && !printing ? "dark" : "light"];

  function shaded(value, key) {
    if (Array.isArray(value)) return value.map((part) => shaded(part, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, shaded(part, name)]));
    }
    const isColour = typeof value === "string" && value[0] === "@" && /color$/.test(key || "");
    return isColour ? palette()[value.slice(1)] : value;
  }

  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const narrow = () => document.documentElement.clientWidth < 640;

  // Lines of at most so many characters, broken at spaces.
  function wrapped(text, most) {
    const lines = [""];
    for (const word of String(text).split(" ")) {
      const last = lines[lines.length - 1];
      if (last && last.length + word.length >= most) lines.push(word);
      else lines[lines.length - 1] = last ? `${last} ${word}` : word;
    }
    return lines.join("<br>");
  }

  function fitted(traces, layout) {
    const names = traces.map((trace) => (trace.name ? { ...trace, name: wrapped(trace.name, narrow() ? 48 : 110) } : trace));
    const texts = layout.yaxis && layout.yaxis.ticktext;
    if (!texts) return [names, layout];
    const ticktext = texts.map((text) => wrapped(text, narrow() ? 24 : 38));
    return [names, { ...layout, yaxis: { ...layout.yaxis, ticktext } }];
  }

  function axis(own) {
    const colours = palette();
    return { gridcolor: colours.grid, linecolor: colours.grey, zeroline: false, automargin: true, ...own };
  }

  function draw(id, given, look) {
    const colours = palette();
    const [traces, layout] = fitted(given, look);
    const base = {
      font: { family: "system-ui, sans-serif", size: narrow() ? 12 : 13, color: colours.ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, hovermode: "closest",
      margin: { l: 56, r: 16, t: 10, b: 52 }, autosize: true,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: narrow() ? 10 : 12 } },
      hoverlabel: { align: "left", bgcolor: colours.paper, bordercolor: colours.grey, font: { color: colours.ink } },
    };
    const full = { ...base, ...shaded(layout), xaxis: axis(shaded(layout.xaxis)), yaxis: axis(shaded(layout.yaxis)) };
    return Plotly.react(byId(id), shaded(traces), full, { responsive: true, displaylogo: false, displayModeBar: false });
  }

  // ---------------------------------------------------------------- figures in words, as the tables write them

  const trimmed = (value, digits) => String(Number(value.toPrecision(digits)));
  function number(value) {
    if (value === 0) return "0";
    return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en-US") : trimmed(value, 3);
  }
  function seconds(value) {
    const size = Math.abs(value);
    if (size === 0) return "0 s";
    for (const [limit, scale, unit] of [[1e-3, 1e-6, "µs"], [1, 1e-3, "ms"], [120, 1, "s"], [7200, 60, "min"]]) {
      if (size < limit) return `${trimmed(value / scale, 3)} ${unit}`;
    }
    return size < 172800 ? `${trimmed(value / 3600, 3)} h` : `${trimmed(value / 86400, 3)} days`;
  }
  function words(metric, value) {
    if (value === null || value === undefined) return "n/a";
    if (metric.form === "accuracy") return value.toFixed(4);
    if (metric.form === "seconds") return seconds(value);
    if (metric.form === "dollars") return `$${number(value)}`;
    return metric.form === "share" ? `${(100 * value).toFixed(1)}%` : number(value);
  }
  function wordsWithInterval(metric, [mean, low, high]) {
    const interval = low === null ? "" : ` (${words(metric, low)} to ${words(metric, high)})`;
    return words(metric, mean) + interval;
  }

  // ---------------------------------------------------------------- the cost-accuracy plot

  const hiddenGroups = new Set();
  const metricAt = (key) => data.metrics.findIndex((metric) => metric.key === key);
  const groupOf = (variant) => variant.groups[Number(byId("group-by").value)];
  const look = (i) => ({ color: cycle[i % cycle.length], symbol: symbols[Math.floor(i / cycle.length) % symbols.length] });

  function groups() {
    return [...new Set(data.variants.map(groupOf))];
  }

  function named(variant) {
    return variant.name.toLowerCase().includes(byId("name-filter").value.trim().toLowerCase());
  }

  function chips() {
    byId("groups").replaceChildren(...groups().map((name, i) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      const dot = document.createElement("i");
      box.type = "checkbox";
      box.checked = !hiddenGroups.has(name);
      box.addEventListener("change", () => {
        if (box.checked) hiddenGroups.delete(name); else hiddenGroups.add(name);
        frontier();
      });
      dot.style.background = palette()[look(i).color];
      label.append(box, dot, name);
      return label;
    }));
  }

  function axisOf(metric) {
    const form = { accuracy: {}, dollars: { tickprefix: "$" }, share: { tickformat: ".1%" }, seconds: { ticksuffix: " s" } };
    return { title: { text: plain(metric.label) }, ...(form[metric.form] || {}) };
  }

  function errorBars(points, m, colour) {
    return {
      type: "data", symmetric: false, color: colour, thickness: points.length > 40 ? 0.8 : 1.4,
      width: points.length > 40 ? 0 : 4,
      array: points.map((v) => (v.values[m][2] === null ? 0 : v.values[m][2] - v.values[m][0])),
      arrayminus: points.map((v) => (v.values[m][1] === null ? 0 : v.values[m][0] - v.values[m][1])),
    };
  }

  function hoverText(variant, x, y) {
    const lines = [`<b>${plain(variant.name)}</b>`];
    for (const m of new Set([y, x, ...data.main.map(metricAt)])) {
      if (m >= 0) lines.push(`${plain(data.metrics[m].label)}: ${wordsWithInterval(data.metrics[m], variant.values[m])}`);
    }
    if (variant.front !== null) lines.push(`on the front with probability ${variant.front.toFixed(2)}`);
    return lines.join("<br>");
  }

  function front(points, x, y) {
    const sign = (m, v) => (data.metrics[m].higher_is_better ? -1 : 1) * v.values[m][0];
    const sorted = [...points].sort((a, b) => sign(x, a) - sign(x, b) || sign(y, a) - sign(y, b));
    let best = Infinity;
    return sorted.filter((v) => sign(y, v) < best && ((best = sign(y, v)), true));
  }

  // Means decide an axis; intervals widen it by a good half at most, and reach below zero only where a mean does.
  function rangeOf(m, points) {
    const held = points.map((v) => v.values[m]);
    const means = held.map((value) => value[0]);
    const [least, most] = [Math.min(...means), Math.max(...means)];
    const span = Math.max(most - least, 0.1 * Math.abs(most), 1e-9);
    const ends = held.flatMap((value) => value.filter((end) => end !== null));
    const low = Math.max(Math.min(...ends), least - 0.6 * span) - 0.07 * span;
    const high = Math.min(Math.max(...ends), most + 0.6 * span) + 0.07 * span;
    return [least >= 0 ? Math.max(low, -0.07 * span) : low, high];
  }

  function baselineLines(y, range) {
    const stated = Object.entries(data.baselines[data.metrics[y].key] || {}).sort((a, b) => b[1] - a[1]);
    if (stated.length) range[1] = Math.max(range[1], stated[0][1] + 0.05 * (range[1] - range[0]));
    const near = [];
    for (const [name, value] of stated.filter(([, one]) => one >= range[0])) {
      const last = near[near.length - 1];
      if (last && last.value - value < 0.03 * (range[1] - range[0])) last.names.push(`${name} ${value.toFixed(4)}`);
      else near.push({ value, names: [`${name} ${value.toFixed(4)}`] });
    }
    const line = { type: "line", xref: "paper", x0: 0, x1: 1, line: { color: "@grey", dash: "dash", width: 1.2 }, layer: "below" };
    const text = { xref: "paper", x: 1, xanchor: "right", yanchor: "bottom", showarrow: false, font: { color: "@grey", size: 12 } };
    return {
      shapes: near.map(({ value }) => ({ ...line, y0: value, y1: value })),
      annotations: near.map(({ value, names }) => ({ ...text, y: value, text: plain(names.join(", ")) })),
    };
  }

  function frontier() {
    const [x, y] = [metricAt(byId("axis-x").value), metricAt(byId("axis-y").value)];
    const all = data.variants.filter((v) => v.values[x][0] !== null && v.values[y][0] !== null);
    const shown = all.filter((v) => named(v) && !hiddenGroups.has(groupOf(v)));
    const absent = data.variants.length - all.length;
    byId("unplaced").textContent = absent ? `Without a figure on these axes, so not shown: ${absent} of ${data.variants.length}.` : "";
    const intervals = byId("show-intervals").checked;
    const colours = palette();
    const traces = groups().map((name, i) => {
      const points = shown.filter((v) => groupOf(v) === name);
      const { color, symbol } = look(i);
      const trace = {
        type: "scatter", mode: "markers", name: plain(name), showlegend: false, cliponaxis: false,
        x: points.map((v) => v.values[x][0]), y: points.map((v) => v.values[y][0]),
        customdata: points.map((v) => data.variants.indexOf(v)), text: points.map((v) => hoverText(v, x, y)),
        hovertemplate: "%{text}<extra></extra>",
        marker: { color: colours[color], symbol, size: all.length > 60 ? 8 : 11, line: { color: colours.paper, width: 1 } },
      };
      if (intervals) {
        trace.error_x = errorBars(points, x, colours[color]);
        trace.error_y = errorBars(points, y, colours[color]);
      }
      return trace;
    });
    const best = x === y ? [] : front(shown, x, y);
    traces.unshift({
      type: "scatter", mode: "lines", name: "front", showlegend: false, hoverinfo: "skip",
      x: best.map((v) => v.values[x][0]), y: best.map((v) => v.values[y][0]),
      line: { color: colours.grey, width: 2, shape: data.metrics[x].higher_is_better ? "vh" : "hv" },
    });
    const ranges = [x, y].map((m) => (shown.length ? rangeOf(m, shown) : [0, 1]));
    const { shapes, annotations } = baselineLines(y, ranges[1]);
    const roles = new Map();
    for (const role of ["baseline", "winner", "knee"]) {
      const v = shown.find((one) => one.name === data[role]);
      if (v) roles.set(v, [...(roles.get(v) || []), role]);
    }
    let turn = 0;
    for (const [v, names] of roles) {
      const place = (v.values[x][0] - ranges[0][0]) / (ranges[0][1] - ranges[0][0]);
      const left = place > 0.8 || (place > 0.2 && turn % 2);
      const arrow = { ax: left ? -34 : 34, ay: turn % 2 ? 38 : -38, arrowhead: 0, arrowcolor: "@grey" };
      annotations.push({ x: v.values[x][0], y: v.values[y][0], text: names.join(", "), showarrow: true, ...arrow });
      turn += 1;
    }
    const [xaxis, yaxis] = [x, y].map((m, i) => ({ ...axisOf(data.metrics[m]), range: ranges[i] }));
    draw("frontier", traces, { xaxis, yaxis, shapes, annotations });
    const names = new Set(shown.map((v) => v.name));
    for (const row of document.querySelectorAll("#variants tbody tr")) row.hidden = !names.has(row.dataset.variant);
  }

  function showPoint(event) {
    const index = event.points[0].customdata;
    if (index === undefined) return;
    const variant = data.variants[index];
    const title = document.createElement("h3");
    const list = document.createElement("dl");
    title.textContent = variant.name;
    const rows = Object.entries(variant.settings);
    rows.push(["seeds", String(variant.seeds)]);
    data.metrics.forEach((metric, m) => rows.push([metric.label, wordsWithInterval(metric, variant.values[m])]));
    list.append(...rows.map(([name, text]) => {
      const row = document.createElement("div");
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      value.textContent = text;
      row.append(term, value);
      return row;
    }));
    byId("point").replaceChildren(title, list);
  }

  // ---------------------------------------------------------------- knobs

  function knobs() {
    const [key, m] = [byId("knob").value, metricAt(byId("knob-metric").value)];
    const points = data.variants.filter((v) => v.values[m][0] !== null);
    const level = (v) => v.settings[key] ?? "(not set)";
    const levels = [...new Set(points.map(level))];
    const isNumber = levels.every((name) => name !== "" && Number.isFinite(Number(name)));
    const continuous = isNumber && levels.length > 12;
    if (isNumber) levels.sort((a, b) => a - b);
    const place = (name) => (continuous ? Number(name) : levels.indexOf(name));
    const means = levels.map((name) => {
      const held = points.filter((v) => level(v) === name).map((v) => v.values[m][0]);
      return held.reduce((sum, value) => sum + value, 0) / held.length;
    });
    const dots = {
      type: "scatter", mode: "markers", name: "variants", x: points.map((v) => place(level(v))),
      y: points.map((v) => v.values[m][0]), marker: { color: "@sky", size: 8, opacity: 0.75 },
      text: points.map((v) => `${plain(v.name)}<br>${wordsWithInterval(data.metrics[m], v.values[m])}`),
      hovertemplate: "%{text}<extra></extra>",
    };
    const line = {
      type: "scatter", mode: "lines+markers", name: "mean at this value", x: levels.map((_, i) => i), y: means,
      marker: { color: "@vermilion", size: 11, symbol: "diamond" }, line: { color: "@vermilion", width: 1.5 },
      text: levels.map((name, i) => `${plain(name)}<br>mean ${words(data.metrics[m], means[i])}`),
      hovertemplate: "%{text}<extra></extra>",
    };
    const short = (name) => (name.length > 22 ? `${name.slice(0, 21)}…` : name);
    const xaxis = continuous ? { title: { text: plain(key) } } : {
      title: { text: plain(key) }, tickvals: levels.map((_, i) => i), ticktext: levels.map((name) => plain(short(name))),
      range: [-0.5, levels.length - 0.5], showgrid: false,
    };
    draw("knob-plot", continuous ? [dots] : [dots, line], { xaxis, yaxis: axisOf(data.metrics[m]) });
  }

  // ---------------------------------------------------------------- tables, drawing when seen, printing

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

  // A legend that does not fit beside itself on a phone gets room of its own.
  function drawChart({ id, traces, layout, height }) {
    const lines = traces.filter((trace) => trace.showlegend !== false && trace.name).length;
    byId(id).style.height = `${height + (narrow() ? 17 * lines : 0)}px`;
    return draw(id, traces, layout);
  }

  const drawers = new Map(data.charts.map((chart) => [chart.id, () => drawChart(chart)]));
  if (byId("frontier")) drawers.set("frontier", frontier);
  if (byId("knob-plot")) drawers.set("knob-plot", knobs);
  const drawn = new Set();
  const drawOnce = (id) => {
    if (drawn.has(id) || !drawers.has(id)) return;
    drawn.add(id);
    drawers.get(id)();
    if (id === "frontier") for (const name of ["plotly_hover", "plotly_click"]) byId(id).on(name, showPoint);
  };
  const redraw = () => {
    if (byId("frontier")) chips();
    for (const id of drawn) drawers.get(id)();
  };

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
  if (byId("knob-plot")) for (const id of ["knob", "knob-metric"]) byId(id).addEventListener("change", knobs);
  for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
  darkness.addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    printing = true;
    for (const part of document.querySelectorAll("details")) part.open = true;
    for (const id of drawers.keys()) drawOnce(id);
    redraw();
  });
  addEventListener("afterprint", () => { printing = false; redraw(); });
  document.documentElement.dataset.ready = "true";
})();
