// The first page: where the app connects to.

import { loadConfig, nameSystem } from "./config.js";

const notice = document.getElementById("notice");

function say(text) {
  notice.textContent = text;
  notice.hidden = false;
}

if (location.hash === "#disconnected") {
  say("You are disconnected. This browser no longer holds your record or the key to it.");
  history.replaceState({}, "", location.pathname);
}

try {
  const config = await loadConfig();
  nameSystem(config.healthSystem);
  document.getElementById("connect").textContent = `Connect to ${config.healthSystem}`;
} catch {
  say("The app cannot be reached right now. Please reload this page in a moment.");
}
