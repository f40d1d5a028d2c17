// The first page: where the app connects to.

import { loadConfig, nameSystem } from "./config.js";
import { el } from "./ui.js";

const notice = document.getElementById("notice");

function say(text) {
  notice.textContent = text;
  notice.hidden = false;
}

let goodbye = false;
if (location.hash === "#disconnected") {
  say("You are disconnected. This app no longer holds your record or the key to it in this browser. The browser may still be signed in at your health system.");
  goodbye = true;
  history.replaceState({}, "", location.pathname);
}

try {
  const config = await loadConfig();
  nameSystem(config.healthSystem);
  document.getElementById("connect").textContent = `Connect to ${config.healthSystem}`;
  if (goodbye) {
    // On a computer that others use too, forgetting is not enough.
    notice.append(" ", el("a", { href: new URL("/logout", config.fhirBase).href, text: `Sign out at ${config.healthSystem}` }));
  }
} catch {
  say("The app cannot be reached right now. Please reload this page in a moment.");
}
