// Launch (SMART App Launch 2.2): leaves for the authorization server of the
// health system, from the app itself or, with a handle, from the EHR. PKCE is
// required, never optional.

import { loadConfig, nameSystem } from "./config.js";

try {
  const config = await loadConfig();
  nameSystem(config.healthSystem);
  const asked = new URLSearchParams(location.search);
  const launch = asked.get("launch") ?? undefined;
  // Whoever opens the app may name any server: it talks to one it knows, only.
  if (launch && asked.get("iss") !== config.fhirBase) throw new Error("launched for another server");
  await globalThis.FHIR.oauth2.authorize({
    iss: config.fhirBase,
    launch,
    clientId: config.clientId,
    scope: launch ? config.launchScope : config.scope,
    redirectUri: config.redirectUri,
    pkceMode: "required",
    completeInTarget: true,
  });
} catch {
  document.getElementById("title").textContent = "We could not reach your health system";
  document.getElementById("status").textContent = "Please check your connection and try again in a moment.";
}
