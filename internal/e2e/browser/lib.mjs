// What every scenario needs: a browser, a way to note what is wrong without
// stopping at the first, and the checks that every page has to pass.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 800 };
const NARROW = { width: 320, height: 640 }; // WCAG 2.2, 1.4.10 Reflow

// beside gives the neighbour of one of the demo's parts.
function beside(address, offset) {
  const url = new URL(address);
  url.port = String(Number(url.port) + offset);
  return url.origin;
}

export const env = {
  app: process.env.PORTICO_APP_URL ?? "http://localhost:8083",
  ehr: process.env.PORTICO_EHR_URL ?? beside(process.env.PORTICO_APP_URL ?? "http://localhost:8083", -2),
  doctor: process.env.PORTICO_DOCTOR ?? "doctor",
  login: process.env.PORTICO_LOGIN ?? "alice",
  password: process.env.PORTICO_PASSWORD ?? "demo",
  parent: process.env.PORTICO_PARENT ?? "maria",
  child: new RegExp(process.env.PORTICO_CHILD ?? "^Leo\\b.*\\bDelgado"), // records may hold more names than people use
  stranger: process.env.PORTICO_STRANGER ?? "nora",
  artifacts: process.env.ARTIFACTS ?? "artifacts",
};

const wrong = [];
let current = "";

// note keeps a finding; the run goes on, so that one run tells everything.
export function note(text) {
  wrong.push(`${current}: ${text}`);
  console.error(`  WRONG ${text}`);
}

export function check(good, text) {
  if (!good) note(text);
}

export function findings() {
  return wrong;
}

function browserPath() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      // not under this name
    }
  }
  throw new Error("no Chromium found; set CHROMIUM to its path");
}

export async function launch() {
  mkdirSync(env.artifacts, { recursive: true });
  return chromium.launch({
    executablePath: browserPath(),
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

// scenario runs one story in a browser of its own (cookies, storage).
export async function scenario(browser, name, story) {
  current = name;
  console.log(`- ${name}`);
  const began = Date.now();
  const context = await browser.newContext({ viewport: PHONE, reducedMotion: "reduce", locale: "en-US", timezoneId: "America/Phoenix" });
  context.setDefaultTimeout(20000);
  await watch(context);
  const page = await context.newPage();
  try {
    await story(page, context);
  } catch (err) {
    note(`stopped at ${page.url().replace(/\?.*/, "?…")}: ${err.message.split("\n")[0]}`);
    await page.screenshot({ path: join(env.artifacts, `failed-${name.replaceAll(/\W+/g, "-")}.png`), fullPage: true }).catch(() => {});
  }
  await context.close();
  console.log(`  ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

// watch collects breaches of content security policies and script errors.
export async function watch(context) {
  await context.exposeBinding("__breach", (_, text) => note(`content security policy: ${text}`));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (e) => globalThis.__breach(`${location.pathname} ${e.effectiveDirective} ${e.blockedURI} ${e.sample}`));
  });
  context.on("weberror", (e) => note(`script error: ${e.error().message}`));
  context.on("console", (m) => {
    const policy = /content security policy|refused to (load|execute|apply|connect|send|frame)/i.test(m.text());
    if (policy) note(`content security policy (console): ${m.text()}`);
  });
}

// look judges the page as it stands: accessibility in both colour schemes, no
// sideways scrolling, no slips of the program in the text; and keeps pictures.
export async function look(page, name) {
  const title = await page.title();
  check(title.length > 3, `${name}: page without a title`);
  const text = await page.locator("body").innerText();
  const slip = /\b(undefined|NaN|null|\[object \w+\])(?=\s|$)/.exec(text);
  check(!slip, `${name}: the page says "${slip?.[0]}"`);
  for (const [form, size] of [["phone", PHONE], ["desktop", DESKTOP]]) {
    await page.setViewportSize(size);
    for (const colorScheme of ["dark", "light"]) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(120); // charts are drawn anew
      await accessible(page, `${name}, ${form}, ${colorScheme}`);
      await page.screenshot({ path: join(env.artifacts, `${name}-${form}-${colorScheme}.png`), fullPage: true });
    }
  }
  await page.setViewportSize(NARROW);
  await page.waitForTimeout(120);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(over <= 0, `${name}: scrolls sideways by ${over} px at 320 px`);
  await targets(page, name);
  await page.setViewportSize(PHONE);
}

async function accessible(page, name) {
  await page.evaluate(axeSource);
  const violations = await page.evaluate(async (rules) => {
    const result = await globalThis.axe.run({ runOnly: rules });
    return result.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join(", ")}`);
  }, RULES);
  for (const v of violations) note(`${name}: axe ${v}`);
}

// targets: what stands alone and can be pressed is at least 44 px high.
async function targets(page, name) {
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("button, summary, nav a, a.button, label")]
      .filter((e) => e.checkVisibility() && e.getClientRects().length > 0)
      .map((e) => ({ e, h: Math.max(e.getBoundingClientRect().height, e.closest(".row")?.getBoundingClientRect().height ?? 0) }))
      .filter(({ e, h }) => h < 44 && (!e.matches("label") || /checkbox|radio/.test(e.control?.type)))
      .map(({ e, h }) => `${e.tagName.toLowerCase()} "${e.textContent.trim().slice(0, 30)}" ${h} px`),
  );
  for (const s of small) note(`${name}: target too small: ${s}`);
}

// signIn picks a person on the provider's page.
export async function signIn(page, login) {
  const person = page.locator(`button[name=person][value="${login}"]`);
  if (await person.count()) return person.click();
  await page.fill("input[name=login]", login);
  await page.fill("input[name=password]", env.password);
  return page.press("input[name=password]", "Enter");
}

// policyOf reads the policy of the page's own answer.
export function policyOf(response) {
  return response?.headers()["content-security-policy"] ?? "";
}
