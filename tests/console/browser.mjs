// The console before a real daemon: the story of an administrator, the keyboard, the states of a page, accessibility, budgets.
// Each step waits for what it wants to see; none waits for time to pass.
import { world, assert, fs, launch, visitor, step, count, ctl, ctlTry, file, signIn, visit, accessible, tabTo, picture, expected } from "./stage.mjs";

const KB = 1024;
const ALL_PAGES = ["/", "/requests", "/certificates", "/challenges", "/authority", "/activity", "/activity?show=audit", "/explain",
  "/explain?what=challenge.used", "/health", "/account", "/admins"];

const browser = await launch();
let page = await visitor(browser);
let link = "";

const button = (/** @type {string | RegExp} */ name, /** @type {any} */ within = page) => within.getByRole("button", { name, exact: typeof name === "string" });
const dialog = () => page.getByRole("dialog");
const heading = (/** @type {string | RegExp} */ name) => page.getByRole("heading", { level: 1, name });
const row = (/** @type {string} */ name) => page.getByRole("row").filter({ hasText: name });

// ---- coming in ----

await step("the first load keeps its budget", async () => {
  let requests = 0, octets = 0;
  const debug = await page.context().newCDPSession(page);
  await debug.send("Network.enable");
  debug.on("Network.requestWillBeSent", () => requests++);
  debug.on("Network.loadingFinished", (e) => { octets += e.encodedDataLength; });
  await page.goto(world.api + "/ui/");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.waitForLoadState("networkidle");
  await debug.detach();
  console.log(`   first load: ${requests} requests, ${octets} octets`);
  assert.ok(requests > 5 && requests <= 12, `${requests} requests`);
  assert.ok(octets > 10 * KB && octets <= 60 * KB, `${octets} octets`);
});

await step("a second load takes the files from the cache", async () => {
  const again = [];
  page.on("response", (r) => again.push(r));
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  const fetched = [];
  for (const r of again) if (/\/ui\/[0-9a-f]{16}\//.test(r.url()) && !r.fromServiceWorker() && (await r.request().sizes()).responseBodySize > 0) fetched.push(r.url());
  assert.deepEqual(fetched, []);
  await accessible(page, "the sign-in page");
});

await step("a wrong token is refused in words", async () => {
  expected.pattern = /401/;
  await page.getByLabel("Or a token").fill("scepd_tok_nothing_wrong");
  await button("Sign in").click();
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /401/);
  expected.pattern = null;
});

await step("the link of scepctl console signs in, once, and leaves no secret in the address", async () => {
  link = await signIn(page);
  assert.doesNotMatch(page.url(), /c=/);
  const other = await visitor(browser);
  expected.pattern = /401/;
  await other.goto(link);
  await other.getByRole("alert").waitFor();
  expected.pattern = null;
  await other.context().close();
});

await step("an empty store says how the first certificate comes", async () => {
  await page.getByText("Three ways to the first certificate").waitFor();
  for (const [to, text] of [["/requests", "Nothing waits."], ["/certificates", "No certificate like that."], ["/challenges", "No challenge like that."]]) {
    await visit(page, to);
    await page.getByText(text).waitFor();
    await accessible(page, to + " when it is empty");
  }
});

// ---- the keyboard alone ----

await step("by keyboard: a challenge is made, and seen once", async () => {
  await visit(page, "/challenges");
  await tabTo(page, "New challenge");
  await page.keyboard.press("Enter");
  await tabTo(page, "Label");
  await page.keyboard.type("<b>for</b> the printer");
  await tabTo(page, "Make the challenge");
  await page.keyboard.press("Enter");
  await page.getByText("It is shown this once").waitFor();
  const secret = (await page.locator(".secret").innerText()).trim();
  assert.match(secret, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/);
  await accessible(page, "the dialog with a challenge");
  await tabTo(page, "Done");
  await page.keyboard.press("Enter");
  await dialog().waitFor({ state: "detached" });
  await row("<b>for</b> the printer").waitFor();
  assert.ok(!(await page.content()).includes(secret), "the secret is gone from the page");
  const r = ctlTry(["client", "enrol", world.scep + "/scep", "--subject", "CN=lab-printer-7", "--key", file("p.key"), "--out", file("p.pem"), "--challenge-file", "-"], secret + "\n");
  assert.equal(r.status, 0, r.stderr);
});

await step("by keyboard: a request is approved, another denied with its reason", async () => {
  for (const name of ["rtr-berlin-02", "rtr-munich-01"]) {
    const r = ctlTry(["client", "enrol", world.scep + "/scep/manual", "--subject", `CN=${name},OU=Net`, "--key", file(name + ".key"), "--out", file(name + ".pem"), "--wait", "0s"]);
    assert.notEqual(r.status, 0);
  }
  await visit(page, "/requests");
  await row("rtr-berlin-02").waitFor();
  await row("rtr-munich-01").waitFor();
  await page.keyboard.press("j");
  await page.getByRole("heading", { name: /^Request req_/ }).waitFor();
  await page.getByText("Will be issued").waitFor();
  await accessible(page, "requests with one open");
  await picture(page, "requests");
  const first = await page.locator("tr[aria-current=true]").innerText();
  await page.keyboard.press("a");
  await dialog().waitFor();
  await tabTo(page, "Approve");
  await page.keyboard.press("Enter");
  await dialog().waitFor({ state: "detached" });
  const approved = /rtr-[a-z]+-\d+/.exec(first)[0], other = approved === "rtr-berlin-02" ? "rtr-munich-01" : "rtr-berlin-02";
  await row(approved).waitFor({ state: "detached" });
  await page.keyboard.press("j");
  await page.getByRole("heading", { name: /^Request req_/ }).waitFor();
  await page.keyboard.press("d");
  await dialog().waitFor();
  await tabTo(page, /^Why/);
  await page.keyboard.type("not our device");
  await page.keyboard.press("Enter");
  await dialog().waitFor({ state: "detached" });
  const states = Object.fromEntries(ctl("request", "list", "--json").trim().split("\n").map((l) => JSON.parse(l)).map((r) => [r.subject.split(",")[0], r.state]));
  assert.equal(states["CN=" + other], "denied");
  assert.match(states["CN=" + approved], /approved|issued/);
});

await step("by keyboard: search leads to a certificate, and it is revoked", async () => {
  const serial = JSON.parse(ctl("cert", "list", "--search", "lab-printer-7", "--json").trim().split("\n")[0]).serial;
  await visit(page, "/");
  await page.keyboard.press("/");
  await page.keyboard.type(serial.slice(0, 12));
  await page.keyboard.press("Enter");
  await heading(/CN=lab-printer-7/).waitFor();
  await tabTo(page, "Revoke…");
  await page.keyboard.press("Enter");
  await tabTo(page, "Revoke");
  await page.keyboard.press("Enter");
  await page.locator(".note.bad").getByText("Revoked").waitFor();
});

await step("the skip link leads over the entries", async () => {
  await visit(page, "/challenges");
  await page.reload();
  await heading("Challenges").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "MAIN");
  assert.match(page.url(), /#\/challenges$/);
});

// ---- the states of a page ----

await step("loading, fault, and old data are told", async () => {
  const seen = () => row("<b>for</b> the printer").waitFor();
  let answer = /** @type {((r: any) => any)} */ ((r) => r.continue());
  await page.route("**/api/v1/challenges*", (r) => answer(r));
  let letGo = /** @type {any} */ (null);
  const held = new Promise((resolve) => { letGo = resolve; });
  answer = async (r) => { await held; await r.continue(); };
  await page.goto(world.api + "/ui/#/health");
  await heading("Health").waitFor();
  await page.goto(world.api + "/ui/#/challenges");
  await page.getByText("Loading…").waitFor();
  answer = (r) => r.continue();
  letGo();
  await seen();
  expected.pattern = /Failed to load resource/;
  answer = (r) => r.abort();
  await page.getByText(/^From .* reconnecting/).waitFor();
  await seen();
  await accessible(page, "a page with old data");
  answer = (r) => r.continue();
  await page.getByText(/reconnecting/).waitFor({ state: "detached" });
  answer = (r) => r.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ type: "/problems/busy", title: "Too busy", status: 503, code: "busy",
    detail: "All workers are occupied.", fix: "Try again in a minute.", request_id: "x" }) });
  await page.goto(world.api + "/ui/#/challenges?state=active");
  await page.getByRole("alert").getByText("Try again in a minute.").waitFor();
  await accessible(page, "a page with a fault");
  answer = (r) => r.continue();
  await page.goto(world.api + "/ui/#/challenges?state=used");
  await seen();
  expected.pattern = null;
  await page.unroute("**/api/v1/challenges*");
});

await step("what is new waits to be asked for", async () => {
  await visit(page, "/challenges");
  await row("<b>for</b> the printer").waitFor();
  ctl("challenge", "new", "--label", "came later");
  await button("1 new, show").click();
  await row("came later").waitFor();
});

// ---- every page: both themes, narrow, with forced colours ----

for (const theme of ["light", "dark"]) {
  await step(`axe-core finds nothing on any page, ${theme}`, async () => {
    await page.emulateMedia({ colorScheme: /** @type {any} */ (theme) });
    for (const to of ALL_PAGES) {
      await visit(page, to);
      await accessible(page, `${to} (${theme})`);
      if (to === "/") await picture(page, "overview" + (theme === "dark" ? "-dark" : ""));
    }
  });
}

await step("every page fits 320 pixels, and its rows are cards", async () => {
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 320, height: 700 });
  for (const to of ALL_PAGES) {
    await visit(page, to);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(over <= 0, `${to} is ${over} pixels too wide`);
  }
  await visit(page, "/challenges");
  await page.getByRole("row", { name: /the printer/ }).waitFor(); // still rows of a table for who listens
  await page.setViewportSize({ width: 1200, height: 900 });
});

await step("targets are large enough, also the small ones", async () => {
  for (const to of ["/activity", "/account"]) {
    await visit(page, to);
    const small = await page.evaluate(() => [...document.querySelectorAll("a, button, input, select")].filter((e) => {
      const r = e.getBoundingClientRect();
      return r.width > 2 && (r.width < 24 || r.height < 20) && getComputedStyle(e).position !== "absolute";
    }).map((e) => e.outerHTML.slice(0, 100)));
    assert.deepEqual(small, [], to);
  }
});

// ---- roles, and the way out ----

await step("an auditor sees everything and changes nothing", async () => {
  ctl("admin", "new", "otto", "--role", "auditor");
  const mine = page;
  page = await visitor(browser);
  await signIn(page, "otto");
  for (const to of ["/challenges", "/authority", "/certificates"]) {
    await visit(page, to);
    for (const name of ["New challenge", "Revoke…", "Publish the revocation list now"]) assert.equal(await button(name).count(), 0, `${name} on ${to}`);
  }
  await page.context().close();
  page = mine;
});

await step("who signs out is out", async () => {
  await visit(page, "/");
  const cookie = (await page.context().cookies()).find((c) => /scepd/.test(c.name));
  assert.ok(cookie && cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
  await page.locator("header .menu > button").click();
  expected.pattern = /401/;
  await button("Sign out").click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  const after = await page.context().request.get(world.api + "/api/v1/session", { headers: { Cookie: `${cookie.name}=${cookie.value}` } });
  assert.equal(after.status(), 401, "the cookie is worth nothing any more");
  expected.pattern = null;
});

await browser.close();
console.log(`${count()} passed, 0 failed`);
