// What the steps of browser.mjs stand on: the browser, who listens to it, and the world outside of it.
import { createRequire } from "node:module";
import { execFileSync, spawnSync } from "node:child_process";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

const load = createRequire(path.join(process.env.SCEPD_BROWSER_MODULES, "package.json"));
const { chromium } = load("playwright-core");
const axeSource = fs.readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");
export const world = JSON.parse(fs.readFileSync(process.env.SCEPD_BROWSER_WORLD, "utf8"));
export { assert, fs, path };

// A wait is for a condition; a machine that is busy with other things gets all the time that it needs.
const PATIENCE = Number(process.env.SCEPD_BROWSER_PATIENCE || 60000);

/** @type {string[]} what the browser complained about, and whom it asked beside us */
export const complaints = [];
/** Patterns of console messages that the step in hand is about (a refused call is told by the browser itself). */
export const expected = { pattern: /** @type {RegExp | null} */ (null) };

export async function launch() {
  return chromium.launch({ executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run"] });
}

/** A visitor of their own, watched. @param {any} browser @param {any} [options] */
export async function visitor(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, colorScheme: "light", reducedMotion: "reduce", locale: "en-GB", acceptDownloads: true, ...options });
  context.setDefaultTimeout(PATIENCE);
  await context.addInitScript(() => document.addEventListener("securitypolicyviolation", (e) => console.error("CSP " + e.violatedDirective + " " + e.blockedURI)));
  const page = await context.newPage();
  page.on("console", (m) => { if (!(expected.pattern && expected.pattern.test(m.text()))) complaints.push(`${m.type()}: ${m.text()}`); });
  page.on("pageerror", (e) => complaints.push("uncaught: " + e.message));
  page.on("request", (r) => { if (!r.url().startsWith(world.api + "/") && !r.url().startsWith("blob:" + world.api)) complaints.push("asked " + r.url()); });
  return page;
}

let done = 0;
export async function step(name, run) {
  const begun = Date.now();
  try {
    await run();
  } catch (e) {
    console.log(`FAILED ${name}: ${e.stack}`);
    throw e;
  }
  assert.deepEqual(complaints.splice(0), [], `complaints of the browser in "${name}"`);
  done++;
  console.log(`ok ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
}
export const count = () => done;

/** scepctl, done; its standard output. @param {string[]} args */
export const ctl = (...args) => execFileSync(world.scepctl, ["-c", world.conf, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** What scepctl lists. @param {string[]} args @returns {any[]} */
export const json = (...args) => ctl(...args, "--json").trim().split("\n").filter(Boolean).map((l) => JSON.parse(l));

/** scepctl that may fail. @param {string[]} args @param {string} [input] */
export function ctlTry(args, input) {
  return spawnSync(world.scepctl, args, { encoding: "utf8", input: input || "" });
}

export const file = (name) => path.join(world.work, name);

/** By a link of scepctl console, as an administrator does. @param {any} page @param {string} [who] */
export async function signIn(page, who) {
  const link = ctl("console", ...(who ? ["--admin", who] : [])).split("\n")[0].trim();
  await page.goto(link);
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  return link;
}

/** @param {any} page @param {string} to as /devices */
export async function visit(page, to) {
  await page.goto(world.api + "/ui/#" + to);
  await page.locator("h1").waitFor();
  await page.locator(".loading").first().waitFor({ state: "detached" });
}

/** axe-core finds nothing. It comes by the debugger's way, so that the page's own policy stays as it is. */
export async function accessible(page, what) {
  const debug = await page.context().newCDPSession(page);
  await debug.send("Runtime.evaluate", { expression: `if (!window.axe) {${axeSource}}` });
  const found = await page.evaluate(() => /** @type {any} */ (window).axe.run(document, { resultTypes: ["violations"] }));
  await debug.detach();
  assert.ok(found.passes.length > 10, `axe looked at ${what}`);
  const told = found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(" | ")}`);
  assert.deepEqual(told, [], `axe-core on ${what}`);
}

/** As when somebody comes back to the page: it asks at once, and not when its few seconds are over. */
export const lookAgain = (page) => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange", { bubbles: true })));

/** Tab until the focus is on what has this name; how a person without a mouse goes there. */
export async function tabTo(page, name, limit = 80) {
  for (let i = 0; i < limit; i++) {
    const here = await page.evaluate(() => {
      const e = /** @type {any} */ (document.activeElement);
      const label = e.labels && e.labels[0] ? e.labels[0].textContent : "";
      return (e.getAttribute("aria-label") || label || e.textContent || "").trim();
    });
    if (typeof name === "string" ? here === name : name.test(here)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`the keyboard does not reach "${name}"`);
}

/** A picture for the manual, where pictures are wanted. */
export async function picture(page, name) {
  const dir = process.env.SCEPD_SCREENSHOTS;
  if (!dir) return;
  fs.mkdirSync(dir, { recursive: true });
  await page.screenshot({ path: path.join(dir, name + ".png") });
}

/** What an Apple profile tells its device. @param {string} name */
export function readProfile(name) {
  const program = "import json,plistlib,sys\np=plistlib.load(open(sys.argv[1],'rb'))\n" +
    "s=[c for c in p['PayloadContent'] if c['PayloadType']=='com.apple.security.scep'][0]['PayloadContent']\n" +
    "print(json.dumps({k:v for k,v in s.items() if isinstance(v,(str,int,list))}))";
  return JSON.parse(execFileSync("python3", ["-c", program, name], { encoding: "utf8" }));
}
