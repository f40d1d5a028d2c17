// The demo, clicked through the way people do it. Each scenario is a story of
// its own; the names of the people come from the demo's cast.
//
//   PORTICO_APP_URL=http://localhost:8083 ARTIFACTS=/tmp/shots node flow.mjs [scenario]

import { choices } from "./choice.mjs";
import { check, env, findings, launch, look, note, policyOf, scenario, signIn } from "./lib.mjs";

const byPart = (id) => `#tabs a[href="#${id}"]`;
const APP = new RegExp("/app\\.html");

// connect goes from the app's first page to the provider's sign-in page.
async function connect(page) {
  await page.goto(`${env.app}/`);
  await page.getByRole("link", { name: /^Connect to \S/ }).click();
  await page.waitForSelector("button[name=person]");
}

const allow = (page) => page.getByRole("button", { name: "Allow", exact: true }).click();

// arrived waits until every part of the app has come to rest.
async function arrived(page) {
  await page.waitForURL(APP);
  await page.waitForSelector("body[data-ready]");
  check(!/code=|state=/.test(page.url()), "the code stayed in the address");
}

const stories = {
  async "the whole way"(page) {
    await page.goto(`${env.app}/`);
    await page.getByRole("link", { name: /^Connect to \S/ }).waitFor();
    await look(page, "app-start");
    await connect(page);
    await look(page, "provider-sign-in");
    await signIn(page, env.login);
    await page.waitForSelector("button[value=allow]");
    check((await page.getByText("Your record", { exact: true }).count()) === 1, "the consent page does not call the record one's own");
    check((await page.locator("input[type=checkbox][name=scope]").count()) >= 8, "the consent page offers too few boxes");
    await look(page, "consent");
    await allow(page);
    await arrived(page);
    await parts(page);
    await page.getByRole("button", { name: "Disconnect" }).click();
    await page.waitForURL(/index\.html/);
    await page.getByText("You are disconnected").waitFor();
    check((await page.evaluate(() => sessionStorage.length + localStorage.length)) === 0, "something of the connection is left after disconnecting");
    await look(page, "app-disconnected");
    await page.getByRole("link", { name: /^Sign out at / }).click();
    await page.getByRole("heading", { name: "Sign out?" }).waitFor();
    await look(page, "sign-out");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "You are signed out", exact: true }).waitFor();
    await look(page, "signed-out");
    await page.goto(`${env.app}/app.html`);
    await page.getByText("You are not connected").waitFor();
    await look(page, "app-not-connected");
  },

  async "a parent chooses the child"(page) {
    await connect(page);
    await signIn(page, env.parent);
    await page.waitForSelector("button[name=patient]");
    await look(page, "choose");
    await page.locator("button[name=patient]", { has: page.locator(".name", { hasText: env.child }) }).click();
    await page.waitForSelector("button[value=allow]");
    check((await page.getByText("for whom you act").count()) === 1, "the consent page does not say that it is about someone else");
    check(env.child.test(await page.locator("h1 bdi").first().innerText()), "the consent page does not name the child in its heading");
    await look(page, "consent-child");
    await allow(page);
    await arrived(page);
    const title = await page.locator("#greeting").innerText();
    check(env.child.test(title.replace(/^Record of /, "")), `the app greets with "${title}", not with the child's record`);
    await look(page, "app-child");
  },

  async "somebody else is signed in"(page) {
    await connect(page);
    await signIn(page, env.parent);
    await page.waitForSelector("button[name=patient]");
    await page.getByRole("button", { name: "Not you? Sign out" }).click();
    await page.waitForSelector("button[name=person]"); // for the same request, asked again
    await signIn(page, env.login);
    await page.waitForSelector("button[value=allow]");
    await page.getByRole("button", { name: "Not you? Sign out" }).click();
    await page.waitForSelector("button[name=person]");
    await signIn(page, env.parent);
    await page.getByRole("button", { name: "None of these: go back to the app" }).click();
    await page.waitForURL(APP);
    await page.getByText("Nothing was shared").waitFor();
  },

  async "an app is stopped"(page) {
    await connect(page);
    await signIn(page, env.login);
    await page.waitForSelector("button[value=allow]");
    const home = new URL(page.url()).origin;
    await allow(page);
    await arrived(page);
    const back = await page.context().newPage();
    await back.goto(`${home}/`);
    await back.getByRole("link", { name: "your connected apps" }).click();
    await back.getByRole("heading", { name: "Your connected apps" }).waitFor();
    await look(back, "connected-apps");
    await back.getByRole("button", { name: /^Stop / }).first().click();
    await back.getByText("The app is stopped.").waitFor();
    await look(back, "connected-apps-stopped");
    await back.close();
    await page.reload();
    check(!(await page.getByText("mg/dL").first().isVisible().catch(() => false)), "a stopped app still shows results after a reload");
  },

  async "a clinician opens the app from the EHR"(page) {
    await page.goto(`${env.ehr}/`);
    const open = page.locator("button[name=patient]").first();
    const patient = (await open.locator(".for").innerText()).replace(/^ *for /, "").trim();
    await look(page, "ehr-screen");
    await open.click();
    await page.waitForSelector("button[name=person]");
    await signIn(page, env.doctor);
    await page.waitForSelector("button[value=allow]");
    check((await page.getByText("opened from the health record system").count()) === 1, "the consent page does not say how the record came up");
    await look(page, "consent-clinician");
    await allow(page);
    await arrived(page);
    const title = await page.locator("#greeting").innerText();
    check(patient !== "" && title.includes(patient.split(" ").at(-1)), `the app greets with "${title}" after a launch for "${patient}"`);
    check((await page.getByText("Opened from").count()) === 1, "the app does not say that it was opened from the EHR");
    await look(page, "app-clinician");
  },

  async "a no is a no, by keyboard"(page) {
    await connect(page);
    await signIn(page, env.login);
    const no = page.getByRole("button", { name: "Don’t allow" });
    await no.waitFor();
    for (let i = 0; i < 60 && !(await no.evaluate((e) => e === document.activeElement)); i++) {
      await page.keyboard.press("Tab");
      const ring = await page.evaluate(() => {
        const style = getComputedStyle(document.activeElement);
        return document.activeElement === document.body || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2);
      });
      check(ring, "something takes the focus without showing it");
    }
    await page.keyboard.press("Enter");
    await page.waitForURL(APP);
    await page.getByText("Nothing was shared").waitFor();
    check((await page.evaluate(() => sessionStorage.length)) === 0, "the app kept something after a no");
    await look(page, "app-denied");
  },

  async "lab results are unticked"(page) {
    await connect(page);
    await signIn(page, env.login);
    await page.getByRole("checkbox", { name: "Lab results and vital signs" }).uncheck();
    await allow(page);
    await arrived(page);
    await page.locator("#results").getByText("You did not share this").waitFor();
    await look(page, "app-results-not-shared");
    await page.click(byPart("medicines"));
    check((await page.locator("#medicines li.card").count()) > 0, "medicines are missing although they were ticked");
  },

  async "everything is unticked"(page) {
    await connect(page);
    await signIn(page, env.login);
    await page.waitForSelector("button[value=allow]");
    for (const box of await page.locator("input[type=checkbox][name=scope]").all()) await box.uncheck();
    await allow(page);
    // A yes to nothing shares nothing: it is asked again, or taken for a no.
    await page.getByText(/^(Nothing is ticked|Nothing was shared)$/).waitFor();
    if (APP.test(page.url())) return;
    await look(page, "consent-nothing-ticked");
    await page.getByRole("link", { name: "Tick at least one kind of information" }).click();
    check(/#scope-\d+$/.test(page.url()), "the error does not lead to the first box");
    await page.getByRole("checkbox", { name: "Appointments" }).check();
    await allow(page);
    await arrived(page);
    await page.click(byPart("visits"));
    check((await page.locator("#visits li.card").count()) > 0, "appointments are missing although they were ticked");
  },

  async "without JavaScript"(page, context) {
    // The app needs scripts, Portico and the provider must not: the request
    // starts and ends in the app, everything between happens without.
    let request = "";
    await page.route(/\/oauth\/authorize\?/, (route) => {
      request = route.request().url();
      return route.abort();
    });
    await page.goto(`${env.app}/launch.html`).catch(() => {});
    for (let i = 0; i < 100 && !request; i++) await page.waitForTimeout(50);
    check(request !== "", "the app did not ask for access");
    const bare = await context.browser().newContext({ javaScriptEnabled: false, viewport: { width: 390, height: 844 } });
    bare.setDefaultTimeout(20000);
    bare.on("console", (m) => /content security policy/i.test(m.text()) && note(m.text()));
    const plain = await bare.newPage();
    await plain.goto(request);
    await plain.fill("input[name=login]", env.parent);
    await plain.fill("input[name=password]", "not the password");
    await plain.press("input[name=password]", "Enter");
    await plain.getByRole("alert").waitFor();
    await plain.fill("input[name=login]", env.parent);
    await plain.fill("input[name=password]", env.password);
    await plain.press("input[name=password]", "Enter");
    await plain.getByRole("button", { name: "Your own record" }).click();
    await plain.getByRole("checkbox", { name: "Messages" }).uncheck();
    await plain.getByRole("button", { name: "Allow", exact: true }).click();
    await plain.waitForURL(APP);
    const back = plain.url();
    await bare.close();
    check(/[?&]code=/.test(back), "no code came back");
    await page.goto(back);
    await arrived(page);
    await page.click(byPart("messages"));
    await page.locator("#messages").getByText("You did not share this").waitFor();
  },

  async "someone without a record"(page) {
    await connect(page);
    await signIn(page, env.stranger);
    await page.waitForLoadState("load");
    // Either a page that says so, or the app told so; never a consent page.
    await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector("button[name=person]"));
    check((await page.locator("button[value=allow]").count()) === 0, "consent is asked for a record that does not exist");
    await look(page, "no-record");
    await page.getByRole("link", { name: "Sign in as somebody else" }).click();
    await page.waitForSelector("button[name=person]"); // asked who they are, not sent round
    await signIn(page, env.stranger);
    await page.getByRole("link", { name: "Go back to the app" }).click();
    await page.waitForURL(APP);
    await page.getByText("Nothing was shared").waitFor();
  },

  async "pages beside the way"(page) {
    const config = await (await page.request.get(`${env.app}/config.json`)).json();
    const portico = new URL(config.fhirBase).origin;
    const home = await page.goto(`${portico}/`);
    check(policyOf(home) === "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'", `policy of the first page: ${policyOf(home)}`);
    check((await page.getByText(config.fhirBase, { exact: true }).count()) === 1, "the first page does not name the FHIR base URL");
    await look(page, "home");
    for (const link of await page.locator("main a").evaluateAll((all) => all.map((a) => a.href))) {
      const answer = await page.request.get(link);
      check(answer.ok(), `${new URL(link).pathname} on the first page answers ${answer.status()}`);
    }
    const lost = await page.goto(`${portico}/no-such-page`);
    check(lost.status() === 404, `an unknown path answers ${lost.status()}`);
    await look(page, "not-found");
    const refused = await page.goto(`${portico}/oauth/authorize?response_type=code&client_id=nobody&redirect_uri=http%3A%2F%2Flocalhost%3A1%2F&scope=openid&state=s&aud=${encodeURIComponent(config.fhirBase)}&code_challenge=x&code_challenge_method=S256`);
    check(refused.status() >= 400 && refused.status() < 500, `an unknown app answers ${refused.status()}`);
    check(new URL(page.url()).origin === portico, "an unknown app got the browser back");
    await look(page, "problem");
  },
};

// parts walks through the four parts of the app.
async function parts(page) {
  check((await page.locator("#results details").count()) > 2, "there are too few lab tests");
  check((await page.locator("#results canvas").count()) > 0, "there is no chart");
  check((await page.locator("#results tbody tr").count()) > 1, "there is no table beside the chart");
  await look(page, "app-results");
  for (const [id, what, least] of [["medicines", "li.card", 1], ["visits", "li.card", 2], ["messages", ".talk li", 1]]) {
    await page.click(byPart(id));
    check((await page.locator(`#${id} ${what}`).count()) >= least, `${id}: too little is shown`);
    check((await page.locator(`#${id} .state.failed`).count()) === 0, `${id}: could not be loaded`);
    await look(page, `app-${id}`);
  }
  check((await page.locator(".state.closed").count()) === 0, "something is not shared although everything was ticked");
}

const only = process.argv[2];
const browser = await launch();
try {
  for (const [name, story] of Object.entries({ ...stories, ...choices })) {
    if (!only || name.includes(only)) await scenario(browser, name, story);
  }
} finally {
  await browser.close();
}
for (const text of findings()) console.error(`WRONG ${text}`);
console.log(findings().length === 0 ? "all scenarios passed" : `${findings().length} findings`);
process.exitCode = findings().length === 0 ? 0 : 1;
