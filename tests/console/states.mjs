// Every page of the console in its four states: empty, loading, old after a fault, failed; and good again afterwards.
// Each is provoked at the wire, for all calls of a page at once; nothing waits for time to pass.
import { world, assert, launch, visitor, step, count, ctl, ctlTry, file, json, signIn, visit, expected, lookAgain } from "./stage.mjs";

/** What pages ask, but not who is signed in: that page is browser.mjs's. */
const CALLS = /\/api\/v1\/(?!session)/;
/** Pages, with what each says when there is nothing to show; null: there is always something, or it asks nothing. @type {[string, string | null][]} */
const PAGES = [["/", "Three ways to the first certificate"], ["/devices", "No device yet."], ["/requests", "Nothing waits."], ["/certificates", "No certificate like that."],
  ["/challenges", "No challenge like that."], ["/policies", "No policy yet."], ["/authority", null], ["/activity", "Nothing like that happened."], ["/activity?show=audit", null],
  ["/explain?what=challenge.used", null], ["/health", null], ["/account", null], ["/admins", null]];
/** Pages of one thing each. @type {string[]} */
const things = [];

const browser = await launch(), page = await visitor(browser);
const main = page.locator("main"), loading = main.locator(".loading");
let answer = /** @type {(r: any) => any} */ ((r) => r.continue());

/** What a page shows, without what moves by itself. */
const shown = async () => ({ title: await page.locator("h1").innerText(), rows: await main.getByRole("row").count(), facts: await main.locator("dt").allInnerTexts() });

/** No call under way, no fault: what there is to show is shown. */
async function whole() {
  await page.locator("h1").waitFor();
  for (let n = await loading.count(); n > 0; n = await loading.count()) await loading.first().waitFor({ state: "detached" });
  assert.equal(await main.getByRole("alert").count(), 0);
}

async function go(/** @type {string} */ to) {
  await page.goto("about:blank");
  await page.goto(world.api + "/ui/#" + to);
  await page.locator("h1").waitFor();
}

await signIn(page);
await page.route(CALLS, (r) => answer(r));

await step("with nothing in the store every page says what there is not, and how it comes", async () => {
  for (const [to, text] of PAGES) {
    await visit(page, to);
    if (text) await main.getByText(text).first().waitFor();
    await whole();
    assert.ok((await main.innerText()).length > 20, to);
  }
});

await step("there is one thing of each kind", async () => {
  const enrol = (/** @type {string} */ name, /** @type {string} */ end, /** @type {string} */ input, /** @type {string[]} */ ...more) => ctlTry(["client", "enrol", world.scep + end, "--subject",
    "CN=" + name, "--key", file(name + ".key"), "--out", file(name + ".pem"), ...more], input);
  ctl("group", "new", "berlin");
  ctl("device", "new", "ipad-0113", "--platform", "apple");
  ctl("policy", "new", "corp", "--endpoint", "/scep", "--subject", "CN=%devicename%");
  ctl("policy", "assign", "corp", "berlin");
  ctl("group", "add", "berlin", "ipad-0113");
  const r = enrol("ipad-0113", "/scep", ctl("challenge", "new", "--device", "ipad-0113").split("\n")[0] + "\n", "--challenge-file", "-");
  assert.equal(r.status, 0, r.stderr);
  enrol("waits", "/scep/manual", "", "--wait", "0s");
  things.push("/devices/" + json("device", "list")[0].id, "/policies/" + json("policy", "list")[0].id, "/groups/" + json("group", "list")[0].id,
    "/certificates/" + json("cert", "list")[0].serial, "/requests/" + json("request", "list")[0].id);
});

for (const to of [...PAGES.map(([path]) => path), ...things])
  await step(`${to}: loading, old, failed, and good again`, async () => {
    let letGo = /** @type {any} */ (null);
    const held = new Promise((resolve) => { letGo = resolve; });
    answer = async (r) => { await held; await r.continue(); };
    await go(to);
    await loading.first().waitFor();
    answer = (r) => r.continue();
    letGo();
    await whole();
    const good = await shown();
    assert.ok(good.rows + good.facts.length > 0, JSON.stringify(good));

    expected.pattern = /Failed to load resource/;
    answer = (r) => r.abort();
    await lookAgain(page);
    await main.getByText(/^\s*From .*, reconnecting\./).first().waitFor();
    assert.deepEqual(await shown(), good, "what was shown stays");
    answer = (r) => r.continue();
    await lookAgain(page);
    await main.getByText(/reconnecting/).first().waitFor({ state: "detached" });

    answer = (r) => r.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ type: "/problems/busy", title: "Too busy", status: 503, code: "busy",
      detail: "All workers are occupied.", fix: "Try again in a minute.", request_id: "x" }) });
    await go(to);
    await main.getByRole("alert").getByText("Try again in a minute.").first().waitFor();
    for (let n = await loading.count(); n > 0; n = await loading.count()) await loading.first().waitFor({ state: "detached" }); // nothing loads for ever
    answer = (r) => r.continue();
    await main.getByRole("button", { name: "Try again" }).evaluateAll((all) => all.forEach((b) => /** @type {any} */ (b).click()));
    await main.getByRole("alert").first().waitFor({ state: "detached" });
    await whole();
    expected.pattern = null;
    const again = await shown(); // what is made meanwhile, as entries of the audit log, may be there as well
    assert.deepEqual([again.title, again.facts, again.rows >= good.rows], [good.title, good.facts, true]);
  });

await browser.close();
console.log(`${count()} steps`);
