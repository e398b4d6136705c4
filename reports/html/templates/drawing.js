// Charts as Plotly draws them: palettes for light, dark and paper, and figures in the words of the tables.
const data = JSON.parse(document.getElementById("report-data").textContent);
const darkness = matchMedia("(prefers-color-scheme: dark)");
const byId = (id) => document.getElementById(id);
const palettes = {
  light: {
    ink: "#1a1a1a", grey: "#666666", grid: "#e6e6e6", paper: "#ffffff", blue: "#0072B2", vermilion: "#D55E00",
    green: "#009E73", purple: "#CC79A7", orange: "#E69F00", sky: "#56B4E9", pale: "#c9ced4",
    band: "rgba(0,114,178,0.18)", area: "rgba(150,160,172,0.32)",
  },
  dark: {
    ink: "#e8e8e8", grey: "#a0a0a0", grid: "#333a40", paper: "#14171a", blue: "#4AA8E0", vermilion: "#F07F3C",
    green: "#2FC79B", purple: "#E39CC4", orange: "#F2B632", sky: "#8CCBF2", pale: "#545c65",
    band: "rgba(74,168,224,0.25)", area: "rgba(150,160,172,0.28)",
  },
};
const cycle = ["blue", "vermilion", "green", "purple", "orange", "ink", "sky"];
const symbols = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star"];
const paperWidth = 680; // pixels of a chart on paper, where it is scaled to the width of the sheet
let printing = false;
// Dragging zooms where a mouse does it; a finger scrolls the page until the reader asks for zoom.
const zooming = new Map();
const zooms = (id) => zooming.get(id) ?? matchMedia("(hover: hover) and (pointer: fine)").matches;
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
// "$" in the format of a tick is the sign of the money that the page tells, behind the minus.
const moneyFormat = { locale: "told", locales: { told: { format: { currency: [data.money, ""] } } } };
const narrow = () => !printing && document.documentElement.clientWidth < 640;

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
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
    dragmode: zooms(id) ? "zoom" : false, margin: { l: 56, r: 16, t: 10, b: 52 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: narrow() ? 10 : 12 } },
    hoverlabel: { align: "left", bgcolor: colours.paper, bordercolor: colours.grey, font: { color: colours.ink } },
    ...(printing ? { autosize: false, width: paperWidth, height: parseFloat(byId(id).style.height) } : { autosize: true }),
  };
  const full = { ...base, ...shaded(layout), xaxis: axis(shaded(layout.xaxis)), yaxis: axis(shaded(layout.yaxis)) };
  const config = { responsive: !printing, displaylogo: false, displayModeBar: false, doubleClick: "reset", ...moneyFormat };
  const drawn = Plotly.react(byId(id), shaded(traces), full, config);
  scaled(byId(id), full.width, full.height);
  return drawn;
}

// On paper a chart is a picture of fixed proportions, which the sheet's width scales: none is cut, whatever the window.
function scaled(plot, width, height) {
  const box = plot.querySelector(".svg-container");
  if (printing) box.style.aspectRatio = `${width} / ${height}`; else box.style.removeProperty("aspect-ratio");
  for (const layer of plot.querySelectorAll(".main-svg")) {
    if (printing) layer.setAttribute("viewBox", `0 0 ${width} ${height}`); else layer.removeAttribute("viewBox");
  }
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
function money(value) {
  const size = Math.abs(value);
  if (!size) return `${data.money}0`;
  if (size < 1e-4) return `under ${data.money}0.0001`;
  const places = 2 - Math.floor(Math.log10(size));
  const digits = places > 0 ? Math.max(places, 2) : 0;
  const text = Number(size.toPrecision(3)).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${value < 0 ? "−" : ""}${data.money}${text}`;
}
function words(metric, value) {
  if (value === null || value === undefined) return "n/a";
  if (metric.form === "accuracy") return value.toFixed(4);
  if (metric.form === "seconds") return seconds(value);
  if (metric.form === "money") return money(value);
  return metric.form === "share" ? `${(100 * value).toFixed(1)}%` : number(value);
}
function wordsWithInterval(metric, [mean, low, high]) {
  const interval = low === null ? "" : ` (${words(metric, low)} to ${words(metric, high)})`;
  return words(metric, mean) + interval;
}
