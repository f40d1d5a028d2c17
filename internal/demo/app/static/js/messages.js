// Messages: threads, the one with the newest message first.

import { concept, masked } from "./record.js";
import { el, parse, time, when } from "./ui.js";

export const messages = {
  id: "messages",
  empty: "There are no messages in this record.",
  async load(record) {
    const all = (await record.search("Communication", { _count: "100" })).filter((c) => c.status !== "entered-in-error");
    if (all.length === 0) return null;
    const list = threads(all);
    const nodes = await Promise.all(list.map((t, i) => thread(t, record, i === 0)));
    return el("div", { class: "list" }, ...nodes);
  },
};

const sentAt = (c) => c.sent ?? c.received ?? c.meta?.lastUpdated ?? "";
const at = (c) => parse(sentAt(c))?.getTime() ?? 0;

// threads joins messages that answer each other (inResponseTo) or are parts of
// the same one (partOf).
function threads(all) {
  const parent = new Map(all.map((c) => [c.id, c.id]));
  const root = (id) => {
    while (parent.get(id) !== id) id = parent.get(id);
    return id;
  };
  for (const c of all) {
    for (const ref of [...(c.inResponseTo ?? []), ...(c.partOf ?? [])]) {
      const other = /(?:^|\/)Communication\/([^/]+)/.exec(ref.reference ?? "")?.[1];
      if (other && parent.has(other)) parent.set(root(c.id), root(other));
    }
  }
  const byRoot = new Map();
  for (const c of all) {
    const id = root(c.id);
    byRoot.set(id, [...(byRoot.get(id) ?? []), c]);
  }
  const list = [...byRoot.values()].map((t) => t.sort((a, b) => at(a) - at(b)));
  return list.sort((a, b) => at(b.at(-1)) - at(a.at(-1)));
}

async function thread(t, record, open) {
  const last = t.at(-1);
  const topic = t.map((c) => concept(c.topic) || concept(c.reasonCode?.[0])).find(Boolean) || concept(last.category?.[0]) || "Message";
  const items = await Promise.all(t.map((c) => message(c, record)));
  const count = t.length === 1 ? "1 message" : `${t.length} messages`;
  return el(
    "details",
    { class: "card thread", open },
    el("summary", {}, el("span", { class: "what" }, el("span", { class: "name", text: topic }), el("span", { class: "sub", text: `${count}, latest ${when(sentAt(last))}` }))),
    el("ol", { class: "talk" }, ...items),
  );
}

async function message(c, record) {
  const mine = record.isPatient(c.sender);
  const who = await sender(c, record, mine);
  const parts = (c.payload ?? []).map((p) => p.contentString ?? (p.contentAttachment ? `Attached: ${p.contentAttachment.title ?? "a file"}` : p.contentReference ? "Refers to another part of the record." : ""));
  const text = parts.filter(Boolean);
  return el(
    "li",
    { class: mine ? "mine" : "" },
    el("p", { class: "who" }, el("strong", { text: who }), ` ${[when(sentAt(c)), time(sentAt(c))].filter(Boolean).join(", ")}`),
    ...(text.length > 0 ? text : ["This message has no text."]).map((line) => el("p", { class: "said", text: line })),
  );
}

async function sender(c, record, mine) {
  if (mine) return record.own ? "You" : c.sender.display || "The patient";
  if (!c.sender) return "Sender not known";
  return masked(c.sender) ? "Another person" : record.nameOf(c.sender, c, "The care team");
}
