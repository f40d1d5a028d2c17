// Medicines: what is taken now, then what was.

import { concept } from "./record.js";
import { el, parse, pill, when } from "./ui.js";

const NOW = new Set(["active", "on-hold", "draft", "unknown"]);
const STATUS = { "on-hold": "Paused", draft: "Not final yet", stopped: "Stopped", completed: "Finished", cancelled: "Cancelled" };

export const medicines = {
  id: "medicines",
  empty: "There are no medicines in this record.",
  async load(record) {
    const all = (await record.search("MedicationRequest", { _count: "100" })).filter((m) => m.status !== "entered-in-error");
    if (all.length === 0) return null;
    all.sort((a, b) => (parse(b.authoredOn)?.getTime() ?? 0) - (parse(a.authoredOn)?.getTime() ?? 0));
    const cards = await Promise.all(all.map(async (m) => ({ now: NOW.has(m.status), node: await card(m, record) })));
    const box = el("div");
    for (const [title, list] of [["Taking now", cards.filter((c) => c.now)], ["Earlier", cards.filter((c) => !c.now)]]) {
      if (list.length > 0) box.append(el("h3", { text: title }), el("ul", { class: "list" }, ...list.map((c) => c.node)));
    }
    return box;
  },
};

async function card(m, record) {
  const coded = concept(m.medicationCodeableConcept) || (await record.nameOf(m.medicationReference, m, ""));
  const name = coded.replace(/^NDA\d+ /, "") || "Medicine without a name"; // RxNorm puts the number of a drug application before some names
  const told = m.reportedBoolean === true || m.reportedReference !== undefined; // by people themselves, and ordered by nobody
  const who = told ? "" : await record.nameOf(m.requester, m, "");
  const why = (m.reasonCode ?? []).map(concept).filter(Boolean).join(", ");
  const doses = (m.dosageInstruction ?? []).map(dose).filter(Boolean);
  return el(
    "li",
    { class: "card" },
    el("div", { class: "head" }, el("h4", { text: name }), STATUS[m.status] ? pill(STATUS[m.status], "quiet") : null),
    ...(doses.length > 0 ? doses : ["No instructions in the record."]).map((text) => el("p", { class: "dose", text })),
    el(
      "p",
      { class: "sub" },
      [m.authoredOn ? `${told ? "Reported" : "Ordered"} ${when(m.authoredOn)}` : "", who ? `by ${who}` : "", why ? `for ${why}` : ""].filter(Boolean).join(" "),
    ),
  );
}

// dose says how to take it: the written instruction if there is one.
function dose(d) {
  const written = d.patientInstruction || d.text;
  if (written) return written;
  const rate = d.doseAndRate?.[0];
  const q = rate?.doseQuantity;
  const r = d.timing?.repeat;
  const parts = [
    q ? `${q.value} ${q.unit ?? q.code ?? ""}`.trim() : "",
    concept(d.route),
    r?.frequency ? `${times(r)} every ${r.period === 1 ? "" : `${r.period} `}${unit(r)}` : concept(d.timing?.code),
    d.asNeededBoolean || d.asNeededCodeableConcept ? "if needed" : "",
  ];
  return parts.filter(Boolean).join(", ");
}

function times(r) {
  if (r.frequencyMax) return `${r.frequency} to ${r.frequencyMax} times`;
  return { 1: "once", 2: "twice" }[r.frequency] ?? `${r.frequency} times`;
}

function unit(r) {
  const name = { s: "second", min: "minute", h: "hour", d: "day", wk: "week", mo: "month", a: "year" }[r.periodUnit] ?? "day";
  return r.period === 1 ? name : `${name}s`;
}
