// One trend line. The canvas says nothing to a screen reader, so it carries a
// sentence, and the table beside it has the same numbers.

import { el, when } from "./ui.js";

const HEIGHT = 230;

// chart draws points [{time, value, date}] with the usual range {low, high}.
export function chart(title, unit, points, range) {
  const readout = el("p", { class: "readout", "aria-hidden": "true", text: "Point at or tap the line to read a value." });
  const canvas = el("div", { class: "plot", role: "img", "aria-label": sentence(title, unit, points, range) });
  const box = el("div", { class: "chart" }, canvas, readout);
  let plot;
  const draw = () => {
    const width = Math.floor(canvas.clientWidth);
    if (width < 40) return;
    plot?.destroy();
    plot = new globalThis.uPlot(options(width, canvas, unit, points, range, readout), [points.map((p) => p.time), points.map((p) => p.value)], canvas);
  };
  let width = 0;
  new ResizeObserver(() => {
    if (canvas.clientWidth === width) return;
    width = canvas.clientWidth;
    draw();
  }).observe(canvas);
  for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)", "(forced-colors: active)"]) {
    matchMedia(query).addEventListener("change", draw);
  }
  return box;
}

function options(width, place, unit, points, range, readout) {
  const css = getComputedStyle(place);
  const colour = (name) => css.getPropertyValue(name).trim();
  const axis = { stroke: colour("--muted"), font: "13px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 11 } },
    scales: { x: { range: (_, min, max) => spread(min, max, 0.04) }, y: { range: (_, min, max) => yRange(min, max, range) } },
    axes: [{ ...axis, space: 55 }, { ...axis, size: 52 }],
    series: [{}, { stroke: colour("--accent"), width: 2.5, points: { show: true, size: 8, fill: colour("--surface"), width: 2.5 } }],
    hooks: {
      drawClear: [(u) => band(u, range, colour("--band"), colour("--band-edge"))],
      setCursor: [
        (u) => {
          const p = points[u.cursor.idx ?? -1];
          if (p) readout.textContent = `${when(p.date)}: ${p.value} ${unit}`;
        },
      ],
    },
  };
}

function spread(min, max, part) {
  const more = (max - min || 86400) * part;
  return [min - more, max + more];
}

function yRange(min, max, range) {
  return spread(Math.min(min, range?.low ?? min), Math.max(max, range?.high ?? max), 0.12);
}

// band shades the usual range behind the line.
function band(u, range, fill, edge) {
  if (range?.low === undefined && range?.high === undefined) return;
  const { left, top, width, height } = u.bbox;
  const clamp = (y) => Math.min(Math.max(y, top), top + height);
  const upper = clamp(range.high === undefined ? top : u.valToPos(range.high, "y", true));
  const lower = clamp(range.low === undefined ? top + height : u.valToPos(range.low, "y", true));
  u.ctx.save();
  u.ctx.fillStyle = fill;
  u.ctx.fillRect(left, upper, width, lower - upper);
  u.ctx.strokeStyle = edge;
  u.ctx.setLineDash([5, 4]);
  u.ctx.beginPath();
  for (const [limit, y] of [[range.high, upper], [range.low, lower]]) {
    if (limit === undefined) continue;
    u.ctx.moveTo(left, y);
    u.ctx.lineTo(left + width, y);
  }
  u.ctx.stroke();
  u.ctx.restore();
}

function sentence(title, unit, points, range) {
  const values = points.map((p) => p.value);
  const last = points.at(-1);
  const usual = range ? ` ${rangeText(range, unit)}.` : "";
  return `Line chart of ${title}: ${points.length} results from ${when(points[0].date)} to ${when(last.date)}. Lowest ${Math.min(...values)}, highest ${Math.max(...values)}, latest ${last.value} ${unit}.${usual} The table has the same numbers.`;
}

export function rangeText(range, unit) {
  if (range.low !== undefined && range.high !== undefined) return `Usual range ${range.low} to ${range.high} ${unit}`.trim();
  if (range.low !== undefined) return `Usually at least ${range.low} ${unit}`.trim();
  return `Usually at most ${range.high} ${unit}`.trim();
}
