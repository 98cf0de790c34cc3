// @ts-check
// The frame: sign-in, entries, search, health, account; and which address shows which page.
import { html, render, useState, useEffect, useRef } from "./vendor.js";
import { call, listen, useLive, useAction, others, route, href, go, enc } from "./api.js";
import { Page, Trouble, Text, Link, Icon, List, Time, Chip, Choice, FormDialog, Confirm, Copy, Mono, Empty, Dialog, Outcome, faultOf, announce } from "./ui.js";
import { Overview, Health, Activity, Explain } from "./pages_why.js";
import { Requests, Certificates, Certificate, Challenges, Authority } from "./pages_ca.js";
import { Devices, Device, Policies, Policy, Group } from "./pages_fleet.js";

const ENTRIES = /** @type {[string, string][]} */ ([["/", "Overview"], ["/devices", "Devices"], ["/requests", "Requests"],
  ["/certificates", "Certificates"], ["/challenges", "Challenges"], ["/policies", "Policies"], ["/authority", "Authority"], ["/activity", "Activity"]]);

const PAGES = /** @type {Record<string, any>} */ ({ __proto__: null, "": Overview, devices: [Devices, Device], requests: [Requests, Requests], certificates: [Certificates, Certificate],
  challenges: Challenges, policies: [Policies, Policy], groups: [Policies, Group], authority: Authority, activity: Activity, explain: Explain, health: Health, account: Account, admins: Admins });

const ROLES = ["none", "auditor", "operator", "administrator"];

/** @param {any} session @param {string} role */
const can = (session, role) => ROLES.indexOf(session.role) >= ROLES.indexOf(role);

// ---- sign-in ----

/** @param {{onIn: (session: any) => void, code: string, onCode: () => void}} p  onCode: the code is spent */
function SignIn({ onIn, code, onCode }) {
  const [token, setToken] = useState("");
  const enter = useAction(async (body) => onIn((await call("POST", "/session", body, { once: false })).data));
  useEffect(() => {
    document.title = "Sign in · scepd";
    if (code) { onCode(); enter.run({ code }); }
  }, [code]);
  const submit = (e) => {
    e.preventDefault();
    enter.run({ token: token.trim() });
  };
  return html`<main class="signin"><h1>Sign in</h1>
    ${enter.busy && html`<p role="status">Signing in…</p>`}
    <${Trouble} error=${enter.error} />
    <p>On the server, <code>scepctl console</code> prints a link that signs you in: it works once, for five minutes.</p>
    <form onSubmit=${submit}><input type="text" hidden autocomplete="username" value="token" />
      <${Text} label="Or a token" type="password" name="token" autocomplete="current-password" value=${token} onText=${setToken}
        help=${html`It begins with <code>scepd_</code>; <code>scepctl admin token new</code> makes one. Pasting is fine.`} />
      <button type="submit" class="main" disabled=${!token.trim() || enter.busy}>Sign in</button>
    </form></main>`;
}

// ---- search, health, account ----

const PREFIXES = /** @type {[RegExp, string][]} */ ([[/^dev_/, "/devices/"], [/^req_/, "/requests/"], [/^pol_/, "/policies/"], [/^grp_/, "/groups/"]]);

/** The page that a word means, else Explain. @param {string} word */
async function find(word) {
  for (const [re, to] of PREFIXES) if (re.test(word)) return go(to + enc(word));
  const serial = word.replace(/[:\s]/g, "").toLowerCase();
  if (/^[0-9a-f]{8,}$/.test(serial)) {
    try {
      const r = await call("GET", "/certificates/" + serial);
      return go("/certificates/" + enc(r.data.serial || serial));
    } catch (e) { /* then it is something else */ }
  }
  try {
    const r = await call("GET", "/devices?limit=2&q=" + enc(word));
    const same = r.data.items.filter((d) => d.name.toLowerCase() === word.toLowerCase());
    const hit = same[0] || (r.data.items.length === 1 ? r.data.items[0] : null);
    if (hit) return go("/devices/" + enc(hit.id));
    if (r.data.items.length > 1) return go("/devices", { q: word });
  } catch (e) { /* Explain knows more words */ }
  return go("/explain", { what: word });
}

function Search() {
  const [word, set] = useState("");
  const box = useRef((null));
  useEffect(() => {
    const key = (e) => {
      const t = (e.target);
      if (e.key === "/" && !e.ctrlKey && !e.metaKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName) && !document.querySelector("dialog[open]")) {
        e.preventDefault();
        box.current.focus();
      }
    };
    return listen("keydown", key);
  }, []);
  const submit = async (e) => {
    e.preventDefault();
    if (!word.trim()) return;
    await find(word.trim());
    set("");
    const title = document.getElementById("title");
    if (title) title.focus();
  };
  return html`<form role="search" onSubmit=${submit}><label class="hidden" for="search">Search: name, serial, transaction, address</label>
    <input id="search" ref=${box} type="search" autocomplete="off" placeholder="/  name, serial, transaction, address" value=${word}
      onInput=${(e) => set(e.target.value)} /></form>`;
}

function HealthDot() {
  const { data, error } = useLive("/status");
  if (error && error.unreachable) return html`<span class="chip bad"><${Icon} name="cross" />no answer</span>`;
  if (!data) return null;
  const bad = (data.checks || []).filter((c) => c.status !== "pass").length;
  return html`<${Link} to="/health" class="health"><${Chip} state=${data.status} text=${
    bad ? `${bad} of ${data.checks.length} checks` : `ok: ${(data.checks || []).length} checks`} /><//>`;
}

/** @param {{session: any, onOut: () => void}} p */
function AccountMenu({ session, onOut }) {
  const [open, set] = useState(false);
  const box = useRef((null));
  useEffect(() => {
    const away = (e) => {
      if (e.type === "keydown" ? e.key === "Escape" : !box.current.contains(e.target)) set(false);
    };
    const deaf = ["click", "keydown"].map((name) => listen(name, away));
    return () => deaf.forEach((f) => f());
  }, []);
  return html`<div class="menu" ref=${box}><button type="button" aria-expanded=${open ? "true" : "false"} onClick=${() => set(!open)}>${session.name}</button>
    ${open && html`<div class="list"><${Link} to="/account" onClick=${() => set(false)}>Account and tokens<//>
      ${session.role === "administrator" && html`<${Link} to="/admins" onClick=${() => set(false)}>Administrators<//>`}
      <button type="button" onClick=${onOut}>Sign out</button></div>`}</div>`;
}

/** @param {{session: any, can: (role: string) => boolean}} p */
function Account({ session }) {
  const [dialog, set] = useState(/** @type {any} */ (null));
  return html`<${Page} title="Account" word=${html`<span class="muted">${session.name}, ${session.role}</span>`}
      actions=${html`<button type="button" class="main" onClick=${() => set("new")}>New token</button>`}>
    <p>A token signs a program in, with your role. It is shown once and kept as a hash.</p>
    <${List} path="/tokens" query=${{ admin: session.admin }} caption="Tokens" empty=${html`<${Empty} title="No token yet"><p>Programs and the NDES page sign in with one.</p><//>`} columns=${[
      { head: "Label", cell: (t) => t.label || t.id }, { head: "Kind", cell: (t) => ({ api: "program", link: "sign-in link", session: "browser" }[t.kind]) },
      { head: "Created", cell: (t) => html`<${Time} at=${t.created_at} />` }, { head: "Last used", cell: (t) => html`<${Time} at=${t.used_at} />` },
      { head: "Expires", cell: (t) => html`<${Time} at=${t.expires_at} />` },
      { head: "", cell: (t) => html`<button type="button" onClick=${() => set(t)}>Revoke<span class="hidden"> ${t.label || t.id}</span>…</button>` }]} />
    ${dialog === "new" && html`<${NewToken} onClose=${() => set(null)} />`}
    ${dialog && dialog.id && html`<${Confirm} title=${"Revoke " + (dialog.label || dialog.id)} verb="Revoke" onClose=${() => set(null)}
      action=${() => call("DELETE", "/tokens/" + enc(dialog.id), undefined, { etag: dialog.etag })}><p>Who uses it is signed out at once. This cannot be undone.</p><//>`}<//>`;
}

/** For oneself, or for another. */
function NewToken({ admin, onClose }) {
  const [label, setLabel] = useState(""), [days, setDays] = useState("90"), [made, setMade] = useState(/** @type {any} */ (null));
  if (made) {
    return html`<${Dialog} title="The token" onClose=${onClose}><p>It is shown this once.</p><p class="secret"><${Mono} text=${made.secret} /></p><p><${Copy} text=${made.secret} label="Copy the token" /></p>
      <div class="buttons"><button type="button" class="main" onClick=${onClose}>Done</button></div><//>`;
  }
  const make = async () => (await call("POST", "/tokens", { label: label.trim(), valid_seconds: Number(days) * 86400, ...(admin ? { admin: admin.id } : {}) })).data;
  return html`<${FormDialog} title=${admin ? "New token for " + admin.name : "New token"} verb="Make the token" action=${make} onClose=${onClose} onDone=${setMade}>${() => html`
    <${Text} label="Label" value=${label} onText=${setLabel} help="Which program will use it." />
    <${Choice} label="Valid for" value=${days} onText=${setDays} choices=${[["30", "30 days"], ["90", "90 days"], ["365", "a year"]]} />`}<//>`;
}

function Admins() {
  const [dialog, set] = useState(/** @type {any} */ (null)), [name, setName] = useState(""), [role, setRole] = useState("operator");
  const close = () => set(null);
  return html`<${Page} title="Administrators" actions=${html`<button type="button" class="main" onClick=${() => { setName(""); set("new"); }}>New administrator</button>`}>
    <${List} path="/admins" caption="Administrators" empty="" columns=${[{ head: "Name", cell: (a) => a.name }, { head: "Role", cell: (a) => a.role },
      { head: "State", cell: (a) => html`<${Chip} state=${a.disabled ? "disabled" : "active"} />` }, { head: "Last seen", cell: (a) => html`<${Time} at=${a.seen_at} />` },
      { head: "", cell: (a) => html`<span class="actions"><button type="button" onClick=${() => set({ token: a })}>New token<span class="hidden"> for ${a.name}</span></button>
        <button type="button" onClick=${() => set({ change: a })}>${a.disabled ? "Enable" : "Disable"}<span class="hidden"> ${a.name}</span>…</button></span>` }]} />
    ${dialog === "new" && html`<${FormDialog} title="New administrator" verb="Make" onClose=${close} action=${async () => (await call("POST", "/admins", { name: name.trim(), role })).data}>${(error) => html`
      <${Text} label="Name" value=${name} onText=${setName} error=${faultOf(error, "name")} required />
      <${Choice} label="Role" value=${role} onText=${setRole} choices=${[["auditor", "auditor: sees everything"], ["operator", "operator: also challenges, profiles, approvals"], ["administrator", "administrator: all"]]} />
      <p>To sign in: <code>scepctl console --admin NAME</code>, or a token made here.</p>`}<//>`}
    ${dialog && dialog.token && html`<${NewToken} admin=${dialog.token} onClose=${close} />`}
    ${dialog && dialog.change && html`<${Confirm} title=${(dialog.change.disabled ? "Enable " : "Disable ") + dialog.change.name} verb=${dialog.change.disabled ? "Enable" : "Disable"} onClose=${close}
      action=${() => call("PATCH", "/admins/" + enc(dialog.change.id), { disabled: !dialog.change.disabled }, { etag: dialog.change.etag })}><p>${dialog.change.disabled ? "May sign in again" : "Signed out at once, with all tokens; can be undone"}.</p><//>`}<//>`;
}

// ---- frame ----

/** @param {{session: any, onOut: () => void}} p */
function Frame({ session, onOut }) {
  const [at, setAt] = useState(route());
  const first = useRef(true), place = at.parts[0] === "requests" ? "requests" : at.path; // there the list stays while one is looked at
  const counts = useLive("/overview");
  useEffect(() => listen("hashchange", () => setAt(route())), []);
  useEffect(() => { // another page: its heading is where reading begins
    if (first.current) { first.current = false; return; }
    window.scrollTo(0, 0);
    const title = document.getElementById("title");
    if (title) title.focus({ preventScroll: true });
    announce(document.title);
  }, [place]);
  const waiting = counts.data ? counts.data.requests.pending : 0;
  const found = PAGES[at.parts[0] || ""];
  const View = Array.isArray(found) ? found[at.parts.length > 1 ? 1 : 0] : found;
  const current = (to) => to === "/" + (at.parts[0] === "groups" ? "policies" : at.parts[0] || "");
  const skip = (e) => { e.preventDefault(); (document.querySelector("main")).focus(); };
  return html`<a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="top"><${Link} to="/" class="brand">scepd<//><${Search} /><${HealthDot} /><${AccountMenu} session=${session} onOut=${onOut} /></header>
    <div class="shell"><nav class="main" aria-label="Pages"><ul>${ENTRIES.map(([to, text]) => html`<li><a href=${href(to)} aria-current=${
      current(to) ? "page" : undefined}><span>${text}</span>${to === "/requests" && waiting > 0 && html`<b>${waiting}<span class="hidden"> waiting</span></b>`}</a></li>`)}</ul></nav>
    <main id="main" tabindex="-1">${View ? html`<${View} key=${place} at=${at} session=${session} overview=${counts} can=${(r) => can(session, r)} id=${at.parts[1] || ""} />`
      : html`<${Page} title="No such page"><p><${Link} to="/">Overview<//></p><//>`}</main></div><${Outcome} />`;
}

/** The code of a sign-in link; no secret stays in the address. */
function takeCode() {
  const found = /^#c=([^&]+)/.exec(location.hash);
  if (found) history.replaceState(null, "", href("/"));
  return found ? found[1] : "";
}

function App() {
  const [state, set] = useState(/** @type {any} */ ({})); // session null: nobody
  const [code, setCode] = useState(takeCode);
  const is = (session, error, retry) => set({ session, error, retry });
  const look = async () => {
    try {
      is((await call("GET", "/session")).data || null); // nobody: no content
    } catch (e) {
      is(null, e.errors && e.status !== 401 && e);
    }
  };
  /** The same one, with the same role?  What cannot be asked stays. */
  const lookAgain = () => call("GET", "/session").catch((e) => { if (e.status !== 401) throw e; }).then(
    (r) => set((s) => (s.session ? { session: (r && r.data) || null } : s)), () => {});
  useEffect(() => {
    others.onmessage = lookAgain;
    if (code) is(null); else look();
    const again = () => { // a link that is opened where the console is open already
      const fresh = takeCode();
      if (fresh) { is(null); setCode(fresh); }
    };
    return listen("hashchange", again);
  }, []);
  const out = async () => {
    try { await call("DELETE", "/session"); } catch (e) {
      if (e.status !== 401) return is(null, e, out);
    }
    is(null);
    return others.postMessage("");
  };
  if (state.session === undefined) return html`<p class="signin" role="status">Loading…</p>`;
  if (state.error) return html`<main class="signin"><h1>${state.retry ? "You are still signed in" : "scepd"}</h1><${Trouble} error=${state.error} onRetry=${state.retry || look} /></main>`;
  if (!state.session) return html`<${SignIn} code=${code} onCode=${() => setCode("")} onIn=${() => look().then(() => others.postMessage(""))} />`;
  return html`<${Frame} key=${state.session.admin} session=${state.session} onOut=${out} />`;
}

const place = /** @type {HTMLElement} */ (document.getElementById("app"));
const said = document.createElement("div");
said.id = "said";
said.className = "hidden";
said.setAttribute("aria-live", "polite");
document.body.append(said);
render(html`<${App} />`, place);
