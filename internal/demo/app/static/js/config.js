// What this copy of the app is connected to. It comes from the server that
// serves the app, so that the pages themselves stay the same everywhere.

export async function loadConfig() {
  const answer = await fetch("config.json", { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`config.json: status ${answer.status}`);
  return answer.json();
}

// nameSystem puts the health system's name into the marked places.
export function nameSystem(name) {
  for (const place of document.querySelectorAll("[data-system]")) place.textContent = name;
}
