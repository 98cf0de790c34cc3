// Who is signed in, when that changes elsewhere; addresses that were mangled on their way; the way out when nobody answers.
import { world, assert, launch, visitor, step, count, ctl, signIn, visit, expected } from "./stage.mjs";

const browser = await launch();
ctl("admin", "new", "anna", "--role", "administrator");
ctl("admin", "new", "otto", "--role", "administrator");

const button = (/** @type {any} */ page, /** @type {string} */ name) => page.getByRole("button", { name, exact: true });
const menu = (/** @type {any} */ page) => page.locator("header .menu > button");

await step("an address that is none says so, whatever it is called, and another one is found from there", async () => {
  const page = await visitor(browser);
  await signIn(page, "anna");
  for (const name of ["constructor", "__proto__", "toString/x", "hasOwnProperty", "%zz"]) {
    await page.goto(world.api + "/ui/#/" + name);
    await page.getByRole("heading", { level: 1, name: "No such page" }).waitFor();
  }
  await visit(page, "/devices");
  await page.getByRole("heading", { level: 1, name: "Devices" }).waitFor();
  await page.context().close();
});

await step("a link that was mangled is refused in words", async () => {
  const page = await visitor(browser);
  expected.pattern = /401|422/;
  for (const code of ["%zz", "%E2%80", "scepd_x_y"]) {
    await page.goto("about:blank");
    await page.goto(world.api + "/ui/#c=" + code);
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Or a token").waitFor();
  }
  expected.pattern = null;
  await page.context().close();
});

await step("who cannot be signed out is told, and tries again", async () => {
  const page = await visitor(browser);
  await signIn(page, "anna");
  await page.route("**/api/v1/session", (/** @type {any} */ r) => (r.request().method() === "DELETE" ? r.abort() : r.continue()));
  expected.pattern = /Failed to load resource/;
  await menu(page).click();
  await button(page, "Sign out").click();
  await page.getByRole("heading", { name: "You are still signed in" }).waitFor();
  await page.unroute("**/api/v1/session");
  await button(page, "Try again").click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  expected.pattern = null;
  assert.equal((await page.request.get(world.api + "/api/v1/session")).status(), 204);
  await page.context().close();
});

await step("another sign-in in the same browser is seen by all its pages, and so is the way out", async () => {
  const page = await visitor(browser), other = await page.context().newPage();
  await signIn(page, "anna");
  await visit(page, "/devices");
  await button(page, "New device").click();
  await signIn(other, "otto");
  await menu(page).getByText("otto").waitFor();
  await page.getByRole("dialog").waitFor({ state: "detached" }); // what anna had begun is not done as otto
  expected.pattern = /401/;
  await menu(other).click();
  await button(other, "Sign out").click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  expected.pattern = null;
  await page.context().close();
});

await step("a role that is lowered takes its buttons along", async () => {
  const page = await visitor(browser);
  await signIn(page, "otto");
  await visit(page, "/devices");
  await button(page, "New device").click();
  await page.getByRole("dialog").getByLabel("Name", { exact: true }).fill("late");
  ctl("admin", "edit", "otto", "--role", "auditor");
  expected.pattern = /403/;
  await button(page, "Make the device").click();
  assert.match(await page.getByRole("alert").innerText(), /role administrator/);
  expected.pattern = null;
  await page.keyboard.press("Escape");
  await button(page, "New device").waitFor({ state: "detached" });
  await page.context().close();
});

await browser.close();
console.log(`${count()} passed, 0 failed`);
