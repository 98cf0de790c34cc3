// The console before a real daemon: the story of an administrator, the keyboard, the states of a page, accessibility, budgets.
// Each step waits for what it wants to see; none waits for time to pass.
import { world, assert, fs, launch, visitor, step, count, ctl, ctlTry, file, json, signIn, visit, accessible, tabTo, picture, readProfile, expected, lookAgain } from "./stage.mjs";

const KB = 1024;
const ALL_PAGES = ["/", "/devices", "/requests", "/certificates", "/challenges", "/policies", "/authority", "/activity", "/activity?show=audit", "/explain",
  "/explain?what=challenge.used", "/health", "/account", "/admins"];
/** Pages of things that the story makes. @type {string[]} */
const thingPages = [];

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

await step("an empty store says how the first device comes", async () => {
  await page.getByText("Three ways to the first certificate").waitFor();
  for (const [to, text] of [["/devices", "No device yet."], ["/requests", "Nothing waits."], ["/certificates", "No certificate like that."], ["/challenges", "No challenge like that."],
    ["/policies", "No policy yet."]]) {
    await visit(page, to);
    await page.getByText(text).waitFor();
    await accessible(page, to + " when it is empty");
  }
});

// ---- the story: a device, a policy, a profile, a certificate, its end ----

await step("the administrator makes a device", async () => {
  await visit(page, "/devices");
  await button("New device").click();
  await dialog().getByLabel("Name", { exact: true }).fill("ipad-0113");
  await dialog().getByLabel("Serial number").fill("C02XK0AAJ");
  await dialog().getByLabel("Platform").selectOption("apple");
  await button("Make the device", dialog()).click();
  await heading("ipad-0113").waitFor();
  await page.getByText("It has no policy.").waitFor();
  await page.getByText("Known, never asked.").waitFor();
  thingPages.push(new URL(page.url()).hash.slice(1));
});

await step("a mistake in a form is told at its field", async () => {
  await visit(page, "/devices");
  await button("New device").click();
  expected.pattern = /409|422/;
  await dialog().getByLabel("Name", { exact: true }).fill("IPAD-0113");
  await button("Make the device", dialog()).click();
  await dialog().getByRole("alert").waitFor();
  assert.match(await dialog().getByRole("alert").innerText(), /name/i);
  expected.pattern = null;
  await accessible(page, "a form with a fault");
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
});

await step("the administrator makes a policy from a sample and assigns it", async () => {
  await visit(page, "/policies");
  await button(/one certificate per device/).click();
  await dialog().getByLabel("Name", { exact: true }).fill("corp");
  await dialog().getByLabel("Endpoint").selectOption("/scep");
  await dialog().getByLabel("Subject").fill("CN=%devicename%,O=Example");
  await accessible(page, "the editor of a policy");
  await picture(page, "policy-new");
  await button("Make the policy", dialog()).click();
  await heading("corp").waitFor();
  thingPages.push(new URL(page.url()).hash.slice(1));
  await button("Assign").click();
  await dialog().getByLabel("Device or group").fill("ipad");
  await accessible(page, "the dialog that assigns");
  await button("Assign to ipad-0113", dialog()).click();
  await page.getByRole("link", { name: "ipad-0113" }).waitFor();
});

await step("the policy tells what the device would get", async () => {
  await page.getByLabel("Device", { exact: true }).fill("ipad-0113");
  await button("Check").click();
  await page.getByText("All fits").waitFor();
  await page.getByText("CN=ipad-0113,O=Example").first().waitFor();
});

let profile = /** @type {any} */ ({});
await step("the administrator downloads a profile", async () => {
  await visit(page, thingPages[0]);
  await button("New profile").click();
  const coming = page.waitForEvent("download");
  await button("Download the profile", dialog()).click();
  const saved = await coming;
  assert.match(saved.suggestedFilename(), /\.mobileconfig$/);
  await saved.saveAs(file("ipad.mobileconfig"));
  profile = readProfile(file("ipad.mobileconfig"));
  assert.ok(profile.Challenge && profile.URL.startsWith(world.scep), JSON.stringify(Object.keys(profile)));
  await dialog().getByText("which only this machine itself reaches").waitFor(); // the daemon of this test is at 127.0.0.1
  await button("Cancel", dialog()).click();
  await dialog().waitFor({ state: "detached" });
});

await step("a SCEP client enrols with what the profile says", async () => {
  const subject = profile.Subject.flat().map(([k, v]) => `${k}=${v}`).join(",");
  assert.equal(subject, "CN=ipad-0113,O=Example");
  const r = ctlTry(["client", "enrol", profile.URL, "--subject", subject, "--key", file("ipad.key"), "--out", file("ipad.pem"), "--challenge-file", "-"], profile.Challenge + "\n");
  assert.equal(r.status, 0, r.stderr);
});

let certificate = "";
await step("the device shows its certificate without being asked", async () => {
  const found = page.getByRole("table", { name: "Certificates of this device" });
  await found.getByText("Active").waitFor();
  await page.getByRole("table", { name: /Action history/ }).getByText("Issued").waitFor();
  await picture(page, "device");
  await found.getByRole("link", { name: /CN=ipad-0113/ }).click();
  await heading(/CN=ipad-0113/).waitFor();
  certificate = new URL(page.url()).hash.slice(1);
  thingPages.push(certificate);
});

await step("a certificate is downloaded as it is", async () => {
  const coming = page.waitForEvent("download");
  await button("PEM").click();
  const saved = await coming;
  await saved.saveAs(file("seen.pem"));
  const body = (/** @type {string} */ name) => /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(fs.readFileSync(file(name), "utf8"))[0];
  assert.equal(body("seen.pem"), body("ipad.pem"));
});

await step("it is revoked, after a question that has Cancel focused", async () => {
  await button("Revoke…").click();
  await dialog().waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancel");
  await dialog().getByText("This cannot be undone.").waitFor();
  await dialog().getByLabel("Reason").selectOption("key-compromise");
  await dialog().getByLabel("Note").fill("stolen, ticket 4711");
  await accessible(page, "the dialog that revokes");
  await picture(page, "revoke");
  await button("Revoke", dialog()).click();
  await page.getByText("The key may be in other hands").waitFor();
  await button("Revoke…").waitFor({ state: "detached" });
});

await step("the next renewal is refused and the console says why", async () => {
  const r = ctlTry(["client", "renew", profile.URL, "--key", file("ipad.key"), "--cert", file("ipad.pem"), "--out", file("new.pem")]);
  assert.notEqual(r.status, 0, "a revoked certificate was renewed");
  await visit(page, thingPages[0]);
  await page.getByText("Last request refused").waitFor();
  await page.getByRole("link", { name: "Explain", exact: true }).click();
  await page.getByText("renewal.signer_revoked").first().waitFor();
  await page.getByText("What to do").first().waitFor();
  await page.getByText("Stopped here").first().waitFor();
  await picture(page, "explain");
  thingPages.push(new URL(page.url()).hash.slice(1));
});

// ---- the keyboard alone ----

await step("a challenge for a device's subject alone is warned of", async () => {
  await visit(page, "/challenges");
  await button("New challenge").click();
  await dialog().getByLabel("Subject it is bound to").fill("CN=ipad-0113,O=Example");
  await button("Make the challenge", dialog()).click();
  await page.getByText("It is shown this once").waitFor();
  assert.match(await dialog().getByRole("alert").innerText(), /subject of device ipad-0113 .*challenge new --device dev_/);
  await button("Done", dialog()).click();
  await dialog().waitFor({ state: "detached" });
});

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
  await visit(page, "/devices");
  await page.reload();
  await heading("Devices").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "MAIN");
  assert.match(page.url(), /#\/devices$/);
});

await step("search leads to a device by name, and else to Explain", async () => {
  for (const [word, title] of [["ipad-0113", "ipad-0113"], ["challenge.used", "Explain"]]) {
    await page.getByRole("searchbox", { name: /^Search: / }).fill(word);
    await page.keyboard.press("Enter");
    await heading(title).waitFor();
  }
});

// ---- texts of others ----

await step("names with markup are shown as they are", async () => {
  const name = "<img src=x onerror=alert(1)>";
  ctl("device", "new", name, "--user", "\"><script>alert(2)</script>");
  await visit(page, "/devices");
  await page.getByRole("link", { name }).click();
  await heading(name).waitFor();
  await page.getByText("\"><script>alert(2)</script>", { exact: true }).waitFor();
  assert.equal(await page.locator("main img, main script").count(), 0);
  thingPages.push(new URL(page.url()).hash.slice(1));
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
  await lookAgain(page);
  await page.getByText(/^From .* reconnecting/).waitFor();
  await seen();
  await accessible(page, "a page with old data");
  answer = (r) => r.continue();
  await lookAgain(page);
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
  const unchanged = page.waitForResponse((r) => r.url().includes("/api/v1/challenges") && r.status() === 304);
  await lookAgain(page);
  await unchanged;
  ctl("challenge", "new", "--label", "came later");
  await button("1 new, show").click();
  await row("came later").waitFor();
});

await step("several devices are retired after their number was typed", async () => {
  ctl("device", "new", "old-1");
  ctl("device", "new", "old-2");
  await visit(page, "/devices?q=old");
  for (const name of ["old-1", "old-2"]) await page.getByLabel("Select " + name).check();
  await button("Retire 2…").click();
  assert.ok(await button("Retire 2", dialog()).isDisabled());
  await dialog().getByLabel(/To go on, type the number/).fill("2");
  expected.pattern = /Failed to load resource/;
  await page.route("**/api/v1/jobs/*", (r) => r.abort()); // how it goes cannot be seen: it was started all the same, once
  await button("Retire 2", dialog()).click();
  await dialog().waitFor({ state: "detached" });
  await page.locator("#said").getByText("Retire 2: started").waitFor({ state: "attached" });
  await page.unroute("**/api/v1/jobs/*");
  expected.pattern = null;
  await row("old-2").getByText("Retired").waitFor();
});

await step("what went with it, and what should be read, is told", async () => {
  ctl("policy", "new", "goes", "--endpoint", "/scep", "--subject", "CN=%devicename%");
  for (const name of ["goes-1", "goes-2"]) {
    ctl("device", "new", name);
    ctl("policy", "assign", "goes", name);
    ctl("challenge", "new", "--device", name);
  }
  const at = (/** @type {string} */ name) => "/devices/" + json("device", "list").find((/** @type {any} */ d) => d.name === name).id;
  await visit(page, at("goes-1"));
  await button("Edit").click();
  await dialog().getByLabel("Name", { exact: true }).fill("went-1");
  await button("Save", dialog()).click();
  await dialog().getByRole("alert").getByText("Challenges void: 1").waitFor();
  await button("Done", dialog()).click();
  await dialog().waitFor({ state: "detached" });
  await visit(page, at("goes-2"));
  await button("Retire…").click();
  await button("Retire", dialog()).click();
  await dialog().getByRole("alert").getByText("Challenges void: 1").waitFor();
  assert.deepEqual(await dialog().locator("p").allInnerTexts(), ["Devices that lost a policy: 1", "Challenges void: 1"]);
  await page.keyboard.press("Enter");
  await dialog().waitFor({ state: "detached" });
  await page.locator("h1 + .chip").getByText("Retired").waitFor();
  const answer = { effects: { devices: 0, certificates: 2, requests: 1, challenges: 0 }, warnings: ["One stays: <b>another</b> tenant issued it."] };
  await page.route("**/api/v1/policies/*/assignments/*", (r) => r.fulfill({ json: answer }));
  await visit(page, "/policies/" + json("policy", "list").find((/** @type {any} */ p) => p.name === "goes").id);
  await page.getByRole("button", { name: /^Unassign went-1/ }).click();
  await button("Unassign", dialog()).click();
  await dialog().getByRole("alert").getByText(answer.warnings[0], { exact: true }).waitFor();
  assert.deepEqual(await dialog().locator("p").allInnerTexts(), ["Certificates revoked: 2", "Requests cancelled: 1", answer.warnings[0]]);
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
  await button("Assign").click();
  await dialog().getByRole("button", { name: /^Assign to/ }).first().click();
  await dialog().getByRole("alert").getByText(answer.warnings[0], { exact: true }).waitFor();
  await button("Done", dialog()).click();
  await dialog().waitFor({ state: "detached" });
  await page.unroute("**/api/v1/policies/*/assignments/*");
});

await step("of what is done without a form too, of what is refused on its way, and of what goes with its page", async () => {
  const one = "**/api/v1/policies/*", warning = "Another policy gives these names.";
  /** @param {any} reply  what a change is answered with */
  const changes = (reply) => page.route(one, (r) => (r.request().method() === "GET" ? r.fallback() : r.fulfill(reply)));
  const read = async () => {
    await dialog().getByRole("alert").getByText(warning, { exact: true }).waitFor();
    await accessible(page, "the dialog that tells what was done");
    await page.keyboard.press("Enter");
    await dialog().waitFor({ state: "detached" });
  };
  await changes({ json: { warnings: [warning] } });
  await visit(page, "/policies/" + json("policy", "list").find((/** @type {any} */ p) => p.name === "goes").id);
  await button("Pause").click();
  await read();
  await page.unroute(one);
  await changes({ status: 409, contentType: "application/problem+json", json: { title: "There is one already", status: 409, code: "exists", effects: { challenges: 3 } } });
  await button("Edit").click();
  await dialog().getByLabel("Name", { exact: true }).fill("gone");
  expected.pattern = /409/;
  await button("Save", dialog()).click();
  await dialog().getByRole("alert").getByText("Challenges void: 3").waitFor();
  expected.pattern = null;
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
  await page.unroute(one);
  await changes({ json: { effects: { devices: 2 }, warnings: [warning] } });
  await button("Remove…").click();
  await dialog().getByLabel(/type the name/).fill("goes");
  await button("Remove", dialog()).click();
  await read();
  await page.getByRole("heading", { level: 1, name: "Policies" }).waitFor();
  assert.equal(await page.evaluate(() => /** @type {any} */ (document.activeElement).id), "title");
  await page.unroute(one);
});

await step("what stays is told before many are retired", async () => {
  const warning = "certificate 0a1b stays good: it was made without the policy";
  await page.route("**/api/v1/bulk", (r) => {
    assert.equal(r.request().postDataJSON().dry_run, true);
    return r.fulfill({ json: { matched: 1, sample: ["went-1"], warnings: [warning], job: null } });
  });
  await visit(page, "/devices?q=went-");
  await page.getByLabel("Select went-1", { exact: true }).check();
  await button("Retire 1…").click();
  await dialog().getByText(warning, { exact: true }).waitFor();
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
  await page.unroute("**/api/v1/bulk");
});

await step("who edits what another has changed meanwhile is told", async () => {
  for (const [at, edit, theirs, field, mine] of /** @type {[string, string[], string, string, string][]} */ ([
    [thingPages[0], ["device", "edit", "ipad-0113", "--user", "anna"], "anna", "Serial number", "C02XK0AAK"],
    [thingPages[1], ["policy", "edit", "corp", "--san", "DNS:%devicename%.example.org"], "DNS:%devicename%.example.org", "Subject", "CN=%devicename%,O=Other"]])) {
    await visit(page, at);
    await button("Edit").click();
    await dialog().getByLabel(field).fill(mine);
    ctl(...edit);
    await lookAgain(page);
    await page.locator("main > *:not(dialog)").getByText(theirs, { exact: true }).first().waitFor(); // the page behind the form knows
    expected.pattern = /412/;
    await button("Save", dialog()).click();
    await dialog().getByRole("alert").waitFor();
    assert.match(await dialog().getByRole("alert").innerText(), /412/);
    expected.pattern = null;
    await page.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
    await button("Edit").click(); // and now one's own
    await dialog().getByLabel(field).fill(mine);
    await button("Save", dialog()).click();
    await dialog().waitFor({ state: "detached" });
    await page.getByText(mine, { exact: true }).first().waitFor();
    await page.getByText(theirs, { exact: true }).first().waitFor();
  }
});

await step("a long list is walked by its pages, whichever it is", async () => {
  fs.writeFileSync(file("many.csv"), "name,groups\n" + Array.from({ length: 53 }, (_, i) => `many-${i},many-group-${i};everyone\n`).join(""));
  ctl("device", "import", file("many.csv"), "--policy", "corp", "--new-groups");
  for (let i = 0; i < 51; i++) {
    const r = await page.request.post(world.api + "/api/v1/tokens", { data: { label: "many-" + i }, headers: { Origin: world.api } });
    assert.equal(r.status(), 201);
  }
  const everyone = "/groups/" + json("group", "list", "--search", "everyone")[0].id;
  for (const [at, caption] of [[everyone, "Members"], ["/activity?show=audit", "Activity, newest first"], ["/policies", "Groups"], [thingPages[1], "Assigned to"], ["/account", "Tokens"], ["/devices", "Devices"]]) {
    await visit(page, at);
    const names = () => page.getByRole("table", { name: caption }).getByRole("rowheader").allInnerTexts(), rows = () => page.getByRole("table", { name: caption }).locator("tbody tr");
    await rows().nth(49).waitFor();
    const first = await names();
    await page.getByRole("link", { name: "Next page" }).click();
    await page.getByRole("link", { name: "First page" }).waitFor();
    await page.locator(".loading").waitFor({ state: "detached" });
    await rows().first().waitFor();
    const second = await names();
    assert.ok(second.length > 0 && (caption.startsWith("Activity") || !second.some((n) => first.includes(n))), `${at}: ${second}`);
    if (caption.startsWith("Activity")) await page.getByRole("link", { name: /^Administrators/, exact: false }).and(page.locator("[aria-current=true]")).waitFor();
    await page.getByRole("link", { name: "First page" }).click();
    await page.getByRole("link", { name: "First page" }).waitFor({ state: "detached" });
    await rows().nth(49).waitFor();
    assert.deepEqual((await names())[0], first[0], at);
  }
});

await step("what is assigned is found by its name, however many there are", async () => {
  await visit(page, thingPages[1]);
  await button("Assign").click();
  await dialog().getByLabel("Device or group").fill("many-group-52");
  await button("Assign to many-group-52", dialog()).click();
  await dialog().waitFor({ state: "detached" });
});

await step("all that a filter finds are isolated by a job, and their number is the one that was typed", async () => {
  await visit(page, "/devices?q=many-");
  await page.getByLabel("Select all shown").check();
  await page.getByText("50 selected").waitFor();
  await page.getByLabel("Select many-1", { exact: true }).uncheck();
  await page.getByText("49 selected").waitFor();
  await button("Isolate all that match…").click();
  await page.getByRole("heading", { name: "Isolate 53 devices" }).waitFor();
  await accessible(page, "the dialog that isolates all that match");
  await dialog().getByLabel(/To go on, type the number/).fill("53");
  ctl("device", "new", "many-53");
  expected.pattern = /409/;
  await button("Isolate 53", dialog()).click();
  await dialog().getByText(/there are 54, and 53 were expected/).waitFor();
  expected.pattern = null;
  assert.ok(await button("Isolate 54", dialog()).isDisabled());
  assert.equal(json("device", "list", "--state", "isolated").length, 0);
  await dialog().getByLabel(/To go on, type the number/).fill("54");
  await button("Isolate 54", dialog()).click();
  await dialog().waitFor({ state: "detached" });
  await lookAgain(page);
  await page.getByText("Isolate: 54 of 54 done").waitFor();
  await row("many-1").first().getByText("Isolated").waitFor();
  assert.equal(json("device", "list", "--state", "isolated", "--limit", "0").length, 54);
});

await step("a job tells how far it is, is stopped and goes on", async () => {
  const job = (await (await page.request.get(world.api + "/api/v1/jobs?limit=1")).json()).items[0]; // the API's own tests stop one that runs
  Object.assign(job, { state: "running", done: 20 });
  await page.route(/\/api\/v1\/jobs/, (r) => {
    const what = /jobs\/([^/]+)\/(\w+)$/.exec(r.request().url());
    if (!what) return r.fulfill({ json: { items: [job], next: null } });
    assert.deepEqual([r.request().method(), what[1], r.request().headers()["if-match"]], ["POST", job.id, job.etag]);
    Object.assign(job, { state: what[2] === "stop" ? "stopped" : "running", etag: `"${what[2]}"` });
    return r.fulfill({ json: job });
  });
  await visit(page, "/devices");
  await page.getByText("Isolate: 20 of 54 done").waitFor();
  await button("Stop").click();
  await button("Go on").click();
  await button("Stop").waitFor();
  Object.assign(job, { done: 54, failed: 1, failure: "many-7: retired meanwhile" });
  await lookAgain(page);
  await page.getByText("Isolate: 54 of 54 done, 1 of them could not be: many-7: retired meanwhile").waitFor();
  await accessible(page, "a page with a job");
  Object.assign(job, { state: "done" });
  await lookAgain(page);
  await button("Stop").waitFor({ state: "detached" });
  await page.getByText("Isolate: 54 of 54 done").waitFor(); // one's own is told to its end
  await visit(page, "/policies");
  const asked = page.waitForResponse(/\/api\/v1\/jobs/);
  await visit(page, "/devices");
  await asked;
  await page.getByText("Isolate: 54 of 54 done").waitFor({ state: "detached" });
  await page.unroute(/\/api\/v1\/jobs/);
});

await step("an export has all answers, not the first alone", async () => {
  const path = "**/api/v1/events*", line = (/** @type {number} */ n) => JSON.stringify({ id: "evt_" + n }) + "\n";
  await visit(page, "/activity?result=refused");
  await page.route(path, (r) => {
    if (r.request().headers().accept !== "application/x-ndjson") return r.continue();
    const second = r.request().url().includes("cursor=c2");
    return r.fulfill({ contentType: "application/x-ndjson", body: line(second ? 2 : 1),
      headers: second ? {} : { Link: "</api/v1/events?result=refused&cursor=c2>; rel=\"next\"" } });
  });
  const coming = page.waitForEvent("download");
  await button("Export").click();
  await (await coming).saveAs(file("events.ndjson"));
  await page.unroute(path);
  assert.equal(fs.readFileSync(file("events.ndjson"), "utf8"), line(1) + line(2));
});

await step("a blank may be typed in a search", async () => {
  ctl("device", "new", "two words");
  await visit(page, "/devices");
  const box = page.getByRole("searchbox", { name: "Search", exact: true });
  await box.pressSequentially("two ");
  await page.waitForURL(/q=two/);
  await row("two words").waitFor();
  await box.pressSequentially("w");
  await page.waitForURL(/q=two%20w/);
  await row("two words").waitFor();
});

// ---- every dialog ----

await step("axe-core finds nothing in any dialog", async () => {
  const enrol = (/** @type {string} */ end, /** @type {string} */ name, /** @type {string} */ input) => ctlTry(["client", "enrol", world.scep + end, "--subject", "CN=" + name,
    "--key", file(name + ".key"), "--out", file(name + ".pem"), "--wait", "0s", "--challenge-file", "-"], input);
  enrol("/scep/manual", "waits", "");
  const r = enrol("/scep", "held", ctl("challenge", "new").split("\n")[0] + "\n");
  assert.equal(r.status, 0, r.stderr);
  const serial = json("cert", "list", "--search", "CN=held")[0].serial, isolated = json("device", "list", "--state", "isolated")[0].id;
  const group = json("group", "list", "--search", "many-group-1").find((g) => g.name === "many-group-1").id;
  thingPages.push("/groups/" + group);
  const look = async (/** @type {string} */ to, /** @type {(string | RegExp)[]} */ ...buttons) => {
    await visit(page, to);
    for (const name of buttons) {
      await page.locator("main").getByRole("button", { name, exact: typeof name === "string" }).first().click();
      await accessible(page, `${name} on ${to}`);
      assert.equal(await dialog().count(), 1, `${name} on ${to}`);
      await page.keyboard.press("Escape");
      await dialog().waitFor({ state: "detached" });
    }
  };
  await look("/devices", "New device");
  await look(thingPages[0], "Edit", "Isolate…", "Retire…", "New challenge", "New profile");
  await look("/devices/" + isolated, "Release…");
  await look("/policies", "New group");
  await look(thingPages[1], "Edit", /^Unassign /, "Remove…");
  await look("/groups/" + group, /^Take out/, "Remove…");
  await look("/requests/" + json("request", "list", "--state", "pending")[0].id, /^Approve/, /^Deny/);
  await look("/certificates/" + serial, "Revoke…");
  ctl("cert", "revoke", serial, "--reason", "hold", "--yes");
  await look("/certificates/" + serial, "Release…");
  await look("/challenges", /^Revoke chl_/);
  await look("/account", "New token", /^Revoke .*…$/);
  await look("/admins", "New administrator", /^New token for/, /^Disable .*…$/);
  await button(/^New token for/).first().click();
  await dialog().getByLabel("Label").fill("a program");
  await button("Make the token", dialog()).click();
  await dialog().getByText("It is shown this once.").waitFor();
  await accessible(page, "the dialog with a token");
  await button("Done", dialog()).click();
});

// ---- every page: both themes, narrow, with forced colours ----

await step("axe-core finds nothing on any page, in both themes", async () => {
  for (const to of [...ALL_PAGES, ...thingPages]) {
    await visit(page, to);
    for (const theme of /** @type {const} */ (["dark", "light"])) {
      await page.emulateMedia({ colorScheme: theme });
      await accessible(page, `${to} (${theme})`);
      if (to === "/") await picture(page, "overview" + (theme === "dark" ? "-dark" : ""));
    }
  }
});

await step("every page fits 320 pixels, and its rows are cards", async () => {
  await page.setViewportSize({ width: 320, height: 700 });
  for (const to of [...ALL_PAGES, ...thingPages]) {
    await visit(page, to);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(over <= 0, `${to} is ${over} pixels too wide`);
  }
  await visit(page, "/devices");
  await page.getByRole("row", { name: /ipad-0113/ }).waitFor(); // still rows of a table for who listens
  await picture(page, "devices-phone");
  await page.setViewportSize({ width: 1200, height: 900 });
});

await step("targets are large enough, also the small ones", async () => {
  for (const to of ["/devices", "/policies", "/activity", "/account"]) {
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
  for (const to of ["/devices", "/policies", thingPages[0], certificate, "/challenges"]) {
    await visit(page, to);
    for (const name of ["New device", "New policy", "New challenge", "New profile", "Revoke…", "Retire…", "Isolate…", "Edit"]) assert.equal(await button(name).count(), 0, `${name} on ${to}`);
  }
  await page.context().close();
  page = mine;
});

await step("who signs out is out, and the link's code is spent", async () => {
  await signIn(page);
  const cookie = (await page.context().cookies()).find((c) => /scepd/.test(c.name));
  assert.ok(cookie && cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
  const token = ctl("admin", "token", "new", JSON.parse(await (await page.request.get(world.api + "/api/v1/session")).text()).name, "-q").trim();
  const tried = /** @type {any[]} */ ([]);
  page.on("request", (r) => { if (r.method() === "POST" && r.url().endsWith("/session")) tried.push(r.postDataJSON()); });
  await page.locator("header .menu > button").click();
  expected.pattern = /401/; // what the page asks just then
  await button("Sign out").click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  const after = await page.context().request.get(world.api + "/api/v1/session", { headers: { Cookie: `${cookie.name}=${cookie.value}` } });
  assert.equal(after.status(), 401, "the cookie is worth nothing any more");
  await page.getByLabel("Or a token").fill(token);
  await button("Sign in").click();
  await heading("Overview").waitFor();
  expected.pattern = null;
  assert.deepEqual(tried, [{ token }]);
});

await browser.close();
console.log(`${count()} passed, 0 failed`);
