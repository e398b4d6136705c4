// ---------------------------------------------------------------- the cost-accuracy plot

const hiddenGroups = new Set();
const metricAt = (key) => data.metrics.findIndex((metric) => metric.key === key);
const groupOf = (variant) => variant.groups[Number(byId("group-by").value)];
const byVariant = () => byId("group-by").selectedOptions[0].dataset.variants === "true";

// A variant has one colour on the whole page; groups of any other kind have colours of their own on this chart alone.
function look(group, i) {
  const place = byVariant() ? data.looks[group] ?? null : i;
  if (place === null) return { color: "grey", symbol: "circle" };
  return { color: cycle[place % cycle.length], symbol: symbols[Math.floor(place / cycle.length) % symbols.length] };
}

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
    dot.style.background = palette()[look(name, i).color];
    label.append(box, dot, name);
    return label;
  }));
}

function axisOf(metric, range) {
  const most = Math.max(...range.map(Math.abs));
  const ticks = { tickformat: most >= 1e3 && most < 1e9 ? "$.4~s" : "$,.4~r" };
  const form = { accuracy: {}, money: ticks, share: { tickformat: ".1%" }, seconds: { ticksuffix: " s" } };
  const title = wrapped(plain(metric.label + metric.beside), narrow() ? 44 : 110);
  return { title: { text: title }, ...(form[metric.form] || {}) };
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

// The front is the conclusion's own, drawn on the axes that it was found on and on no others.
function front(x, y) {
  const known = data.front.x === data.metrics[x].key && data.front.y === data.metrics[y].key;
  return known ? data.front.names.map((name) => data.variants.find((v) => v.name === name)).filter(Boolean) : [];
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

// Whose figures the two axes are.
function worlds(x, y) {
  const named = [x, y].map((m) => data.metrics[m]).filter((metric) => metric.world);
  return named.map((metric) => `${metric.label}: ${data.worlds[metric.world]}. `).join("");
}

function frontier() {
  const [x, y] = [metricAt(byId("axis-x").value), metricAt(byId("axis-y").value)];
  const all = data.variants.filter((v) => v.values[x][0] !== null && v.values[y][0] !== null);
  const shown = all.filter((v) => named(v) && !hiddenGroups.has(groupOf(v)));
  const absent = data.variants.length - all.length;
  const unplaced = absent ? `Without a figure on these axes, so not shown: ${absent} of ${data.variants.length}. ` : "";
  const noFront = data.front.names.length && !front(x, y).length ? "These are not the axes of the front, so none is drawn. " : "";
  const recoloured = byVariant() ? "" : "Colours are by the chosen key here; on the rest of the page they are by variant.";
  byId("unplaced").textContent = worlds(x, y) + unplaced + noFront + recoloured;
  const intervals = byId("show-intervals").checked;
  const colours = palette();
  const traces = groups().map((name, i) => {
    const points = shown.filter((v) => groupOf(v) === name);
    const { color, symbol } = look(name, i);
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
  const best = front(x, y);
  traces.unshift({
    type: "scatter", mode: data.front.joined ? "lines" : "markers", name: "front", showlegend: false, hoverinfo: "skip",
    marker: { color: colours.grey, size: 20, opacity: 0.35 },
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
  const [xaxis, yaxis] = [x, y].map((m, i) => ({ ...axisOf(data.metrics[m], ranges[i]), range: ranges[i] }));
  draw("frontier", traces, { xaxis, yaxis, shapes, annotations });
  const names = new Set(shown.map((v) => v.name));
  for (const row of document.querySelectorAll("#variants tbody tr[data-variant]")) row.hidden = !names.has(row.dataset.variant);
  grids.forEach(hint);
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

// ---------------------------------------------------------------- keys

function drawKeys() {
  const [key, m] = [byId("key").value, metricAt(byId("key-metric").value)];
  const points = data.variants.filter((v) => v.values[m][0] !== null);
  const level = (v) => v.settings[key] ?? "(not set)";
  const levels = [...new Set(points.map(level))];
  const isNumber = levels.every((name) => name !== "" && Number.isFinite(Number(name)));
  if (isNumber) levels.sort((a, b) => a - b);
  const place = (name) => (isNumber ? Number(name) : levels.indexOf(name));
  const means = levels.map((name) => {
    const held = points.filter((v) => level(v) === name).map((v) => v.values[m][0]);
    return held.reduce((sum, value) => sum + value, 0) / held.length;
  });
  const dots = {
    type: "scatter", mode: "markers", name: "variants", x: points.map((v) => place(level(v))),
    y: points.map((v) => v.values[m][0]), marker: { color: "@grey", size: 8, opacity: 0.75 },
    text: points.map((v) => `${plain(v.name)}<br>${wordsWithInterval(data.metrics[m], v.values[m])}`),
    hovertemplate: "%{text}<extra></extra>",
  };
  const mean = {
    // Values of a quantity have an order and a distance, so a line may join their means; kinds have neither.
    type: "scatter", mode: isNumber ? "lines+markers" : "markers", name: "mean at this value",
    x: levels.map(place), y: means,
    marker: { color: "@ink", size: 11, symbol: "diamond" }, line: { color: "@ink", width: 1.5 },
    text: levels.map((name, i) => `${plain(name)}<br>mean ${words(data.metrics[m], means[i])}`),
    hovertemplate: "%{text}<extra></extra>",
  };
  const short = (name) => (name.length > 22 ? `${name.slice(0, 21)}…` : name);
  const xaxis = isNumber ? { title: { text: plain(key) } } : {
    title: { text: plain(key) }, tickvals: levels.map((_, i) => i), ticktext: levels.map((name) => plain(short(name))),
    range: [-0.5, levels.length - 0.5], showgrid: false,
  };
  draw("key-plot", levels.length > 12 ? [dots] : [dots, mean], { xaxis, yaxis: axisOf(data.metrics[m], points.map((v) => v.values[m][0])) });
}
