// Standalone launch (SMART App Launch 2.2): leaves for the authorization server
// of the health system. PKCE is required, never optional.

import { loadConfig, nameSystem } from "./config.js";

try {
  const config = await loadConfig();
  nameSystem(config.healthSystem);
  await globalThis.FHIR.oauth2.authorize({
    iss: config.fhirBase,
    clientId: config.clientId,
    scope: config.scope,
    redirectUri: config.redirectUri,
    pkceMode: "required",
    completeInTarget: true,
  });
} catch {
  document.getElementById("title").textContent = "We could not reach your health system";
  document.getElementById("status").textContent = "Please check your connection and try again in a moment.";
}
