// Appointments: what is to come, nearest first, then what was, newest first.

import { concept, masked } from "./record.js";
import { dayOf, el, hours, parse, pill, whenLong, zone } from "./ui.js";

const OFF = new Set(["cancelled", "noshow"]);
const STATUS = { proposed: "Suggested", pending: "Not confirmed yet", booked: "Booked", arrived: "Arrived", fulfilled: "Took place", cancelled: "Cancelled", noshow: "Missed", "checked-in": "Checked in", waitlist: "Waiting list" };

export const visits = {
  id: "visits",
  empty: "There are no appointments in this record.",
  async load(record) {
    const all = (await record.search("Appointment", { _count: "100" })).filter((a) => a.status !== "entered-in-error");
    if (all.length === 0) return null;
    const start = (a) => parse(a.start)?.getTime() ?? 0;
    const now = Date.now();
    const coming = all.filter((a) => !OFF.has(a.status) && (start(a) >= now || !a.start)).sort((a, b) => start(a) - start(b));
    const past = all.filter((a) => !coming.includes(a)).sort((a, b) => start(b) - start(a));
    const box = el("div", {}, el("h3", { text: "Coming up" }));
    box.append(coming.length > 0 ? el("ul", { class: "list" }, ...(await Promise.all(coming.map((a) => card(a, record))))) : el("p", { text: "Nothing is planned." }));
    if (past.length > 0) box.append(el("h3", { text: "Earlier" }), el("ul", { class: "list" }, ...(await Promise.all(past.map((a) => card(a, record))))));
    box.append(el("p", { class: "sub", text: `Times are shown for ${zone()}.` }));
    return box;
  },
};

async function card(a, record) {
  const title = [concept(a.serviceType?.[0]), concept(a.appointmentType), a.description, concept(a.reasonCode?.[0])].find(Boolean) ?? "Appointment";
  const { people, places } = await participants(a, record);
  const d = dayOf(a.start);
  return el(
    "li",
    { class: "card visit" },
    d ? el("div", { class: "date", "aria-hidden": "true" }, el("span", { class: "d", text: d.day }), el("span", { text: `${d.month} ${d.year}` })) : null,
    el(
      "div",
      {},
      el("div", { class: "head" }, el("h4", { text: title }), pill(STATUS[a.status] ?? a.status, a.status === "booked" ? "fine" : "quiet")),
      el("p", { class: "when", text: a.start ? whenLong(a.start) : "Day not set yet" }),
      a.start ? el("p", { text: hours(a.start, a.end) }) : null,
      people.length > 0 ? el("p", { text: `With ${people.join(", ")}` }) : null,
      places.length > 0 ? el("p", { text: `At ${places.join(", ")}` }) : null,
      a.patientInstruction ? el("p", { class: "dose", text: a.patientInstruction }) : null,
    ),
  );
}

// participants names who and where; other patients were hidden by the server.
async function participants(a, record) {
  const people = [];
  const places = [];
  for (const p of a.participant ?? []) {
    if (!p.actor) {
      const role = concept(p.type?.[0]);
      if (role) people.push(role);
      continue;
    }
    if (record.isPatient(p.actor)) continue;
    if (masked(p.actor)) {
      people.push("another person");
      continue;
    }
    const place = /(^|\/)Location\//.test(p.actor.reference ?? "");
    (place ? places : people).push(await record.nameOf(p.actor, a, place ? "a place without a name" : concept(p.type?.[0]) || "the care team"));
  }
  return { people: counted(people), places };
}

// counted says "another person" once, with how many.
function counted(people) {
  const hidden = people.filter((p) => p === "another person").length;
  const rest = people.filter((p) => p !== "another person");
  if (hidden > 0) rest.push(hidden === 1 ? "another person" : `${hidden} other people`);
  return rest;
}
