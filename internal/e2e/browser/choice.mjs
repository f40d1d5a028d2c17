// What people choose on the consent page, seen from an app of one's own: it asks
// for scopes, the person picks, and the token shows what was granted. The client
// is the one the demo has for visitors.

import { createHash, randomBytes } from "node:crypto";

import { check, env, look, signIn } from "./lib.mjs";

const CALLBACK = "http://localhost:9/callback"; // nobody listens there: the test is the app
const ENTRIES = /^(\d+ entries|1 entry|Nothing there now)\./;

async function portico(page) {
  return (await (await page.request.get(`${env.app}/config.json`)).json()).fhirBase;
}

// ask opens the consent page for some scopes.
async function ask(page, scope, login = env.login) {
  const base = await portico(page);
  const verifier = randomBytes(32).toString("base64url");
  const query = new URLSearchParams({
    response_type: "code", client_id: "my-app", redirect_uri: CALLBACK, scope, state: "s", aud: base, prompt: "consent",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256",
  });
  await page.route(`${CALLBACK}*`, (route) => route.fulfill({ status: 200, contentType: "text/html", body: "<!doctype html><title>Back</title><h1>Back</h1>" }));
  await page.goto(`${new URL(base).origin}/oauth/authorize?${query}`);
  await signIn(page, login);
  await page.waitForSelector("button[value=allow]");
  return { base, verifier };
}

// allowed says yes and exchanges the code.
async function allowed(page, { base, verifier }) {
  await page.getByRole("button", { name: "Allow", exact: true }).click();
  await page.waitForURL(`${CALLBACK}*`);
  const code = new URL(page.url()).searchParams.get("code");
  check(code, `no code came back: ${new URL(page.url()).search}`);
  const answer = await page.request.post(`${new URL(base).origin}/oauth/token`, {
    form: { grant_type: "authorization_code", code: code ?? "", redirect_uri: CALLBACK, client_id: "my-app", code_verifier: verifier },
  });
  check(answer.status() === 200, `the token endpoint answers ${answer.status()}`);
  const token = await answer.json();
  const get = (path) => page.request.get(`${base}/${path}`, { headers: { Authorization: `Bearer ${token.access_token}` } });
  return { granted: (token.scope ?? "").split(" "), token, get };
}

const box = (page, name) => page.getByRole("checkbox", { name, exact: true });
const partsOf = (page, type) => page.locator(`.row:has(> input[value^="patient/${type}."]) + details.parts`);
const codes = async (answer) => ((await answer.json()).entry ?? []).filter((e) => e.search.mode === "match").map((e) => (e.resource.category ?? []).flatMap((c) => (c.coding ?? []).map((x) => x.code)));

export const choices = {
  async "parts of health problems and of test results"(page) {
    const app = await ask(page, "openid launch/patient patient/Condition.rs patient/Observation.rs patient/Patient.rs");
    for (const type of ["Condition", "Observation"]) {
      const parts = partsOf(page, type);
      check((await parts.count()) === 1, `${type} cannot be opened into parts`);
      await parts.locator("summary").press("Enter"); // by keyboard
      check(await parts.evaluate((e) => e.open), `the parts of ${type} do not open by keyboard`);
    }
    for (const [type, least] of [["Condition", 3], ["Observation", 6]]) {
      check((await partsOf(page, type).getByRole("checkbox").count()) >= least, `${type} has too few parts`);
    }
    const hints = await page.locator(".row .hint").allInnerTexts();
    check(hints.filter((h) => ENTRIES.test(h)).length >= 5, `too few lines say how much there is: ${hints.slice(0, 4)}`);
    await look(page, "consent-parts");
    await box(page, "Vital signs").press("Space");
    await box(page, "Diagnoses from visits").uncheck();
    check(await partsOf(page, "Observation").getByText("Only some parts").isVisible(), "nothing says that only a part is shared");
    await look(page, "consent-parts-unticked");
    const { granted, get } = await allowed(page, app);
    check(granted.includes("patient/Patient.rs"), `the whole of what was not opened is missing: ${granted}`);
    check(granted.includes("patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"), `lab results are not granted: ${granted}`);
    check(!granted.some((s) => /vital-signs|encounter-diagnosis/.test(s)), `what was unticked is granted: ${granted}`);
    check(!granted.includes("patient/Observation.rs") && !granted.includes("patient/Condition.rs"), `the whole type is granted beside its parts: ${granted}`);
    const seen = await codes(await get("Observation"));
    check(seen.length > 0 && seen.every((c) => c.some((x) => x !== "vital-signs")), "vital signs leave, or nothing does");
    check((await codes(await get("Observation?category=vital-signs"))).length === 0, "vital signs are found when they are asked for");
  },

  async "everything, kind by kind"(page) {
    const app = await ask(page, "openid launch/patient patient/*.rs");
    check((await page.getByText("The app asks for the whole record").count()) === 1, "the page does not say that everything is asked for");
    await look(page, "consent-everything");
    await box(page, "Messages").uncheck();
    await box(page, "Bills").uncheck();
    const { granted, get } = await allowed(page, app);
    check(!granted.includes("patient/*.rs") && !granted.some((s) => /Communication\.|Invoice\./.test(s)), `what was unticked is granted: ${granted}`);
    check(granted.includes("patient/Observation.rs") && granted.includes("patient/EpisodeOfCare.rs"), `what stayed ticked is missing: ${granted}`);
    check((await get("Communication")).status() === 403, "messages can be asked for");
    check((await get("Condition")).status() === 200, "health problems cannot be asked for");
  },

  async "everything stays everything"(page) {
    const { granted } = await allowed(page, await ask(page, "launch/patient patient/*.rs"));
    check(granted.includes("patient/*.rs"), `everything was ticked, and granted is ${granted}`);
  },

  async "staying connected can be refused"(page) {
    const app = await ask(page, "openid launch/patient offline_access patient/Patient.rs");
    const stay = box(page, "Keep access while you do other things");
    check(await stay.isChecked(), "staying connected is not offered");
    await look(page, "consent-stay");
    await stay.uncheck();
    const { granted, token } = await allowed(page, app);
    check(!granted.includes("offline_access") && !token.refresh_token, `staying connected was refused, and granted is ${granted}`);
  },

  async "an end that the person chooses"(page) {
    const app = await ask(page, "openid launch/patient offline_access patient/Patient.rs");
    const until = page.getByLabel("At the latest");
    check((await until.locator("option").count()) >= 3, "there are too few ends to choose from");
    await until.selectOption("1-day");
    const { granted, token } = await allowed(page, app);
    check(granted.includes("offline_access") && token.refresh_token, `no refresh token: ${granted}`);
  },

  async "parts without scripts, at 320 px"(page, context) {
    const bare = await context.browser().newContext({ javaScriptEnabled: false, viewport: { width: 320, height: 640 } });
    bare.setDefaultTimeout(20000);
    const plain = await bare.newPage();
    const app = await ask(plain, "launch/patient patient/Condition.rs patient/Patient.rs");
    const parts = partsOf(plain, "Condition");
    await parts.locator("summary").click();
    await box(plain, "Health worries").uncheck();
    await box(plain, "Diagnoses from visits").uncheck();
    const { granted } = await allowed(plain, app);
    check(granted.filter((s) => s.includes("Condition")).join() === "patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item", `granted is ${granted}`);
    await bare.close();
  },

  async "with one's own colours"(page) {
    await page.emulateMedia({ forcedColors: "active" });
    await ask(page, "launch/patient offline_access patient/Condition.rs patient/Observation.rs patient/Patient.rs");
    await partsOf(page, "Condition").locator("summary").click();
    await box(page, "Health worries").uncheck();
    await page.screenshot({ path: `${env.artifacts}/consent-forced-colours.png`, fullPage: true });
    for (const e of await page.locator("button, select").all()) {
      const edge = await e.evaluate((x) => parseFloat(getComputedStyle(x).borderTopWidth));
      check(edge >= 1, "a control has no edge in forced colours");
    }
  },
};
