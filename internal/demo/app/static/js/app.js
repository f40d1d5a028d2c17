// The page with the record: finishes the sign-in, greets, and fills each part.
// A part that fails or was not shared leaves the others alone.

import { loadConfig } from "./config.js";
import { medicines } from "./medicines.js";
import { messages } from "./messages.js";
import { humanName, Record } from "./record.js";
import { results } from "./results.js";
import { el, state, when } from "./ui.js";
import { visits } from "./visits.js";

const PARTS = [results, medicines, visits, messages];
const byId = (id) => document.getElementById(id);

function greet(title, text, ...more) {
  byId("greeting").textContent = title;
  byId("about").textContent = text;
  byId("hello").append(...more);
}

const connectAgain = (text) => el("p", {}, el("a", { class: "button", href: "launch.html", text }));

// forget removes the token and everything of the sign-in from this browser.
function forget() {
  sessionStorage.clear();
}

async function hello(record) {
  try {
    const patient = await record.client.request(`Patient/${record.patientId}`);
    const name = humanName(patient.name);
    const born = patient.birthDate ? `Born ${when(patient.birthDate)}.` : "";
    if (record.own) greet(`Hello, ${name.given || "and welcome"}`, `${name.full ? `This is the record of ${name.full}.` : "This is your record."} ${born}`);
    else if (record.clinician) greet(`Record of ${name.full || "a patient"}`, `Opened from ${record.system}. ${born}`);
    else greet(`Record of ${name.full || "the person you chose"}`, `You act for ${name.given || "this person"}. ${born}`);
  } catch (err) {
    greet(record.own ? "Hello" : "The record you chose", err.status === 403 ? "You did not share name and birth date with this app." : "We could not load the name.");
  }
}

// fill loads one part and shows what came of it.
async function fill(part, record) {
  const body = document.querySelector(`#${part.id} .body`);
  body.setAttribute("aria-busy", "true");
  body.replaceChildren(state("loading", "Loading…"));
  let shown;
  try {
    shown = (await part.load(record)) ?? state("empty", "Nothing here yet", part.empty);
  } catch (err) {
    shown = failed(err, part, record); // the other parts go on
  }
  body.replaceChildren(shown);
  body.removeAttribute("aria-busy");
}

function failed(err, part, record) {
  if (err.status === 403) {
    return state("closed", "You did not share this", "You can connect again and tick it, if you want to see it here.", connectAgain("Connect again"));
  }
  if (err.status === 401) {
    return state("failed", "Your connection has ended", "To see your record again, connect once more.", connectAgain("Connect again"));
  }
  const again = el("button", { type: "button", class: "button", text: "Try again", onclick: () => fill(part, record) });
  return state("failed", "We could not load this", "Something went wrong on the way. Your record is not changed.", el("p", {}, again));
}

// show makes one part visible; each has its own address (#results …).
function show(move) {
  const wanted = PARTS.find((p) => `#${p.id}` === location.hash) ?? PARTS[0];
  for (const part of PARTS) byId(part.id).hidden = part !== wanted;
  for (const link of byId("tabs").querySelectorAll("a")) {
    if (link.getAttribute("href") === `#${wanted.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = byId(`${wanted.id}-title`);
  document.title = `${title.textContent} – Pocket Record`;
  if (move) {
    title.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

async function start() {
  const config = await loadConfig();
  const denied = new URLSearchParams(location.search).get("error");
  if (denied) {
    forget();
    history.replaceState({}, "", location.pathname);
    if (denied === "access_denied") greet("Nothing was shared", "You chose not to allow access. That is fine: this app got nothing.", connectAgain(`Connect to ${config.healthSystem}`));
    else greet("We could not connect", `${config.healthSystem} did not let this app in.`, connectAgain("Try again"));
    return;
  }
  let client;
  try {
    client = await globalThis.FHIR.oauth2.ready();
  } catch {
    forget();
    greet("You are not connected", `Connect to ${config.healthSystem} to see your record here.`, connectAgain(`Connect to ${config.healthSystem}`));
    return;
  }
  if (!client.patient.id) {
    forget();
    greet("No record was chosen", "Please connect again and choose a record.", connectAgain("Connect again"));
    return;
  }
  const record = new Record(client, config.healthSystem);
  byId("tabs").hidden = false;
  byId("parts").hidden = false;
  byId("disconnect").hidden = false;
  byId("disconnect").addEventListener("click", () => {
    forget();
    location.replace("index.html#disconnected");
  });
  addEventListener("hashchange", () => show(true));
  show(false);
  await Promise.all([hello(record), ...PARTS.map((part) => fill(part, record))]);
  document.body.dataset.ready = "yes"; // every part has come to rest
}

start().catch(() => greet("The app cannot be reached", "Please reload this page in a moment."));
