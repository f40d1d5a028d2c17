// Lab results: one block per test, with the trend, the usual range and every
// number in a table.

import { chart, rangeText } from "./chart.js";
import { testName } from "./names.js";
import { concept } from "./record.js";
import { el, parse, pill, when } from "./ui.js";

const ROWS = 6; // rows before "show all"

export const results = {
  id: "results",
  empty: "There are no lab results in this record.",
  async load(record) {
    const all = await record.search("Observation", { category: "laboratory", _count: "100" });
    const groups = grouped(all.filter((o) => o.status !== "entered-in-error" && o.status !== "cancelled"));
    if (groups.length === 0) return null;
    const first = groups.findIndex((g) => g.points.length > 2);
    return el("div", { class: "list" }, ...groups.map((g, i) => block(g, i === Math.max(first, 0))));
  },
};

// grouped puts results of the same test together, newest test first.
function grouped(all) {
  const groups = new Map();
  for (const o of all) {
    const c = o.code?.coding?.[0];
    const key = c?.code ? `${c.system}|${c.code}` : concept(o.code);
    if (!groups.has(key)) groups.set(key, { title: testName(o.code), full: concept(o.code), rows: [] });
    groups.get(key).rows.push(row(o));
  }
  for (const g of groups.values()) {
    g.rows.sort((a, b) => b.time - a.time);
    g.unit = g.rows.find((r) => r.number !== undefined)?.unit ?? "";
    g.range = g.rows.find((r) => r.range)?.range;
    const same = g.rows.filter((r) => r.number !== undefined && r.unit === g.unit && r.time > 0);
    g.points = same.map((r) => ({ time: r.time / 1000, value: r.number, date: r.date })).reverse();
  }
  return [...groups.values()].sort((a, b) => b.rows[0].time - a.rows[0].time || a.title.localeCompare(b.title));
}

function row(o) {
  const date = o.effectiveDateTime ?? o.effectivePeriod?.start ?? o.effectiveInstant ?? o.issued ?? "";
  const q = o.valueQuantity;
  const range = rangeOf(o);
  const exact = q && !q.comparator && typeof q.value === "number";
  return {
    date,
    time: parse(date)?.getTime() ?? 0,
    text: valueText(o),
    number: exact ? q.value : undefined,
    unit: unitOf(q),
    range,
    rangeText: range ? rangeText(range, range.unit) : (o.referenceRange?.[0]?.text ?? ""),
    flag: flagOf(o, exact ? q.value : undefined, range),
    early: o.status === "preliminary" || o.status === "registered",
  };
}

function rangeOf(o) {
  const r = o.referenceRange?.find((x) => x.low || x.high);
  if (!r) return undefined;
  return { low: r.low?.value, high: r.high?.value, unit: unitOf(r.low ?? r.high) };
}

// unitOf gives the unit for people; {…} are remarks of UCUM, not units.
function unitOf(q) {
  return (q?.unit ?? q?.code ?? "")
    .replace(/\{([^}]*)\}/g, "$1")
    .replaceAll("_", " ")
    .replace(/\[IU\]/g, "IU")
    .replace(/\bm2\b/g, "m²")
    .replace(/10\*(\d+)/g, (_, n) => `10${[...n].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]).join("")}`)
    .replace(/\bu(?=[LgM]\b)/g, "µ");
}

function valueText(o) {
  const q = o.valueQuantity;
  if (q && q.value !== undefined) return `${q.comparator ?? ""}${q.value} ${unitOf(q)}`.trim();
  if (o.valueCodeableConcept) return concept(o.valueCodeableConcept);
  if (o.valueString) return o.valueString;
  if (o.valueInteger !== undefined) return String(o.valueInteger);
  if (o.valueBoolean !== undefined) return o.valueBoolean ? "Yes" : "No";
  if (o.valueRatio) return `${o.valueRatio.numerator?.value ?? "?"} : ${o.valueRatio.denominator?.value ?? "?"}`;
  if (o.valueRange) return `${o.valueRange.low?.value ?? "?"} to ${o.valueRange.high?.value ?? "?"}`;
  const parts = (o.component ?? []).map((c) => `${concept(c.code)} ${valueText(c)}`);
  return parts.join(", ") || "No result given";
}

// flagOf prefers what the lab said; only without it the range decides.
function flagOf(o, number, range) {
  const code = o.interpretation?.[0]?.coding?.[0]?.code ?? "";
  if (/^(H|HH|HU|>)$/.test(code)) return "high";
  if (/^(L|LL|LU|<)$/.test(code)) return "low";
  if (/^(A|AA|POS|ABN)$/.test(code)) return "odd";
  if (/^(N|NEG)$/.test(code)) return "fine";
  if (number === undefined || !range) return "";
  if (range.high !== undefined && number > range.high) return "high";
  if (range.low !== undefined && number < range.low) return "low";
  return "fine";
}

const FLAGS = { high: "↑ High", low: "↓ Low", odd: "! Unusual", fine: "✓ Usual" };

function flag(name) {
  return name ? pill(FLAGS[name], name === "fine" ? "fine" : "watch") : null;
}

function block(g, open) {
  const last = g.rows[0];
  const summary = el(
    "summary",
    {},
    el("span", { class: "what" }, el("span", { class: "name", text: g.title }), el("span", { class: "sub", text: when(last.date) })),
    el("span", { class: "value" }, el("strong", { text: last.text }), flag(last.flag)),
  );
  const details = el("details", { class: "card test", open }, summary);
  // The inside is made when it is first opened: a record may hold many tests.
  const fill = () => {
    if (!details.open || details.dataset.filled) return;
    details.dataset.filled = "yes";
    details.append(inside(g));
  };
  details.addEventListener("toggle", fill);
  fill();
  return details;
}

function inside(g) {
  const box = el("div", { class: "inside" });
  if (g.points.length > 1) {
    const figure = el("figure", {}, chart(g.title, g.unit, g.points, g.range));
    if (g.range) figure.append(el("figcaption", {}, el("span", { class: "swatch", "aria-hidden": "true" }), rangeText(g.range, g.unit)));
    box.classList.add("two");
    box.append(figure);
  }
  box.append(table(g));
  return box;
}

function table(g) {
  const body = el("tbody");
  const fill = (rows) =>
    body.append(
      ...rows.map((r) =>
        el("tr", {}, el("th", { scope: "row" }, el("span", { class: "short", text: when(r.date) })), el("td", {}, el("span", { class: r.text.length < 16 ? "short" : null, text: r.text }), r.early ? el("span", { class: "sub", text: "not final yet" }) : null), el("td", {}, flag(r.flag) ?? "–")),
      ),
    );
  fill(g.rows.slice(0, ROWS));
  const box = el(
    "div",
    { class: "table" },
    el("table", {}, el("caption", { class: "vh", text: `All results of ${g.title}` }), el("thead", {}, el("tr", {}, ...["Date", "Result", "Note"].map((text) => el("th", { scope: "col", text })))), body),
  );
  if (g.full && g.full !== g.title) box.append(el("p", { class: "sub", text: `The lab calls it: ${g.full}` }));
  if (g.points.length < 2 && g.rows[0].rangeText) box.append(el("p", { class: "sub", text: g.rows[0].rangeText }));
  if (g.rows.length > ROWS) {
    const more = el("button", { type: "button", class: "button plain small", text: `Show all ${g.rows.length} results` });
    more.addEventListener("click", () => {
      fill(g.rows.slice(ROWS));
      more.remove();
      body.rows[ROWS].cells[0].tabIndex = -1;
      body.rows[ROWS].cells[0].focus();
    });
    box.append(more);
  }
  return box;
}
