// @ts-check
// Is anything wrong, what happened, and why: overview, health, activity, explain.
import { html, useState, useEffect } from "./vendor.js";
import { call, useLive, useAction, href, go, enc, span, clock } from "./api.js";
import { Page, Facts, Section, List, Live, Table, Time, Chip, Link, Mono, Icon, Empty, Text, Trouble, Copy, FilterChips, FilterText, saveFile } from "./ui.js";

// ---- overview ----

export function Overview({ can }) {
  const live = useLive("/overview");
  return html`<${Page} title="Overview"><${Live} live=${live}>${(o) => html`
    <${Attention} items=${o.attention || []} />
    <${Numbers} o=${o} />
    ${total(o.devices) === 0 && total(o.certificates) === 0 && html`<${Empty} title="Nothing enrolled yet. Three ways to the first certificate:"><ol>
      <li>Make a <a href=${href("/devices", { new: 1 })}>device</a> and a <${Link} to="/policies">policy<//>, assign it, download the profile.</li>
      <li>Make a <a href=${href("/challenges", { new: 1 })}>challenge</a> and give it to any SCEP client.</li><li>Point your MDM product at the SCEP URL of an <${Link} to="/authority">endpoint<//>.</li></ol>
      <p>This page tells when it arrives.</p><//>`}
    <${Day} hours=${o.last_24h || o.hours || []} /><${Dates} o=${o} />`}<//><//>`;
}

const total = (counts) => Object.values(counts || {}).reduce((sum, n) => sum + (typeof n === "number" ? n : 0), 0);

/** The page that something of the API is seen on. @param {string} link */
const pageOf = (link) => (link || "/health").replace(/^\/api\/v1/, "").replace(/^\/(status|healthz)$/, "/health").replace(/^\/authorities.*/, "/authority").replace(/^\/events/, "/activity").replace(/^#/, "");

function Attention({ items }) {
  if (items.length === 0) return html`<p class="note good"><${Icon} name="tick" />Nothing needs you.</p>`;
  return html`<${Section} title=${`Attention (${items.length})`}>${items.map((a) => html`<div class=${"note " + (/^(fail|bad|error)/.test(a.status || a.level || "") ? "bad" : "warn")}>
    <div class="row"><span><${Icon} name=${/^(fail|bad|error)/.test(a.status || a.level || "") ? "cross" : "triangle"} />${a.text}</span>
    <a class="button" href=${"#" + pageOf(a.link || (a.code ? "/explain?what=" + enc(a.code) : ""))}>${a.code && !a.link ? "Explain" : "Show"}<span class="hidden">: ${a.text}</span></a></div>
    ${a.fix && html`<p>What to do: ${a.fix}</p>`}</div>`)}<//>`;
}

function Numbers({ o }) {
  const d = o.devices || {}, c = o.certificates || {}, e = o.expiring || {};
  const one = (n, text, to, q) => n !== undefined && n !== null && html`<li><a href=${href(to, q)}><b>${n.toLocaleString()}</b>${text}</a></li>`;
  return html`<ul class="numbers">${one(total(d), total(d) === 1 ? "device" : "devices", "/devices", {})}${one(c.active || c.valid || 0, "active certificates", "/certificates", { state: "active" })}
    ${one(c.expiring_30d ?? e.within_30d ?? e["30d"], "expire in 30 days", "/certificates", { state: "expiring" })}${one(c.revoked || 0, "revoked", "/certificates", { state: "revoked" })}
    ${one(pendingOf(o), "requests wait", "/requests", {})}</ul>`;
}

const pendingOf = (o) => o.requests_pending ?? (o.requests && o.requests.pending) ?? o.pending ?? 0;

/** Issued and refused of 24 hours: small bars, and the same as a table. */
function Day({ hours }) {
  const [table, set] = useState(false);
  if (!hours.length) return null;
  const sum = (k) => hours.reduce((n, h) => n + (h[k] || 0), 0);
  const most = Math.max(1, ...hours.map((h) => Math.max(h.issued || 0, h.refused || 0)));
  const bar = (k, tone) => html`<svg class="bars" viewBox="0 0 240 56" preserveAspectRatio="none" aria-hidden="true"><line x1="0" y1="55.500" x2="240" y2="55.500" />
    ${hours.map((h, i) => { const y = Math.round((54 * (h[k] || 0)) / most); return html`<rect class=${tone} x=${i * 10 + 1} width="8" y=${55 - y} height=${y} />`; })}</svg>`;
  return html`<${Section} title="Last 24 hours" actions=${html`<button type="button" aria-expanded=${table ? "true" : "false"} onClick=${() => set(!table)}>${table ? "As bars" : "As a table"}</button>`}>
    ${table ? html`<${Table} caption="Issued and refused by hour" idOf=${(h) => h.at || h.hour || h.since} rows=${hours} columns=${[{ head: "Hour", cell: (h) => html`<${Time} at=${h.at || h.hour || h.since} />` },
      { head: "Issued", cell: (h) => h.issued }, { head: "Refused", cell: (h) => h.refused }]} />` : html`<div class="two"><div><p><a href=${href("/activity", { result: "issued" })}>${sum("issued")} issued</a></p>${bar("issued", "y")}</div>
      <div><p><a href=${href("/activity", { result: "refused" })}>${sum("refused")} refused</a></p>${bar("refused", "n")}</div></div>`}<//>`;
}

/** What runs out, and when. */
function Dates({ o }) {
  const rows = /** @type {[string, any][]} */ ([]);
  for (const a of o.authorities || []) {
    for (const [k, what] of [["not_after", "CA"], ["ra_not_after", "RA"], ["ocsp_not_after", "OCSP responder"], ["crl_next_update", "next revocation list"]]) {
      if (a[k]) rows.push([`${a.name || a.authority}: ${what}`, html`<${Time} at=${a[k]} />`]);
    }
  }
  if (o.tls_not_after) rows.push(["TLS certificate of this page", html`<${Time} at=${o.tls_not_after} />`]);
  const q = o.queue && typeof o.queue === "object" ? o.queue : null;
  if (q) rows.push(["Queue", `${q.jobs ?? q.waiting ?? 0} of ${q.capacity ?? q.capacity_jobs ?? "?"}`]);
  const b = o.backup && typeof o.backup === "object" ? o.backup.last_success || o.backup.at : o.backup_last_success || o.backup;
  rows.push(["Last backup", html`<${Time} at=${b} none="none yet" />`]);
  return html`<${Section} title="Dates"><${Facts} rows=${rows} /><//>`;
}

// ---- health ----

export function Health() {
  const live = useLive("/status");
  return html`<${Page} title="Health" word=${live.data && html`<${Chip} state=${live.data.status} />`}><${Live} live=${live}>${(s) => html`<${Table} caption="Checks" idOf=${(c) => c.name} rows=${s.checks} columns=${[
    { head: "Check", cell: (c) => c.name }, { head: "State", cell: (c) => html`<${Chip} state=${c.status} />` }, { head: "What it found", cell: (c) => c.text },
    { head: "What to do", cell: (c) => c.fix && html`<code>${c.fix}</code>` }]} /><p class="muted">scepd ${s.version || ""}</p>`}<//><//>`;
}

// ---- activity ----

/** An event is an attempt of a device or what an administrator did. @param {any} e */
const isAttempt = (e) => !!(e.attempt || e.result || (e.kind || "").startsWith("att"));

const eventColumns = [
  { head: "When", cell: (e) => html`<${Time} at=${e.at} />` },
  { head: "What", cell: (e) => (isAttempt(e) ? html`<${Chip} state=${e.result} />` : e.event) },
  { head: "Told", cell: (e) => (isAttempt(e) ? [e.reason || e.code, e.detail].filter(Boolean).join(": ") || e.operation : e.text) },
  { head: "Subject", cell: (e) => (isAttempt(e) ? e.subject : e.object) },
  { head: "Who", cell: (e) => (isAttempt(e) ? e.peer : e.actor) },
  { head: "", cell: (e) => isAttempt(e) && html`<${Link} to="/explain" query=${{ what: e.attempt || e.transaction || e.id }}>Why<span class="hidden">: ${e.subject} ${e.at}</span><//>` },
];

const eventId = (e) => String(e.id || e.attempt || e.seq || e.at);

/** @param {{live: any}} p */
export const EventList = ({ live }) => html`<${Live} live=${live}>${(d) => (d.items.length === 0 ? html`<p class="muted">Nothing yet.</p>`
  : html`<${Table} caption="Action history, newest first" idOf=${eventId} rows=${d.items} columns=${eventColumns} />`)}<//>`;

export function Activity({ at }) {
  const q = at.query, audit = q.show === "audit";
  const query = audit ? { actor: q.actor, object: q.object, cursor: q.cursor } : { device: q.device, policy: q.policy, result: q.result, code: q.code, peer: q.peer, cursor: q.cursor };
  const path = audit ? "/audit" : "/events", keep = { ...query, show: q.show };
  const save = useAction(async () => {
    const text = Object.entries({ ...query, cursor: "" }).filter(([, v]) => v).map(([k, v]) => k + "=" + enc(v || "")).join("&");
    const r = await call("GET", path + (text ? "?" + text : ""), undefined, { accept: "application/x-ndjson" });
    saveFile(r.data instanceof Blob ? r.data : new Blob([JSON.stringify(r.data)]), path.slice(1) + ".ndjson");
  });
  return html`<${Page} title="Activity" actions=${html`<button type="button" disabled=${save.busy} onClick=${() => save.run()}>Export</button><${Link} to="/explain" class="button">Explain<//>`}><${Trouble} error=${save.error} />
    <div class="filters"><${FilterChips} label="Of whom" name="show" path="/activity" query=${{ show: q.show }} choices=${[["", "Devices"], ["audit", "Administrators (audit log)"]]} />
    ${!audit && html`<${FilterChips} label="Result" name="result" path="/activity" query=${keep} choices=${[["", "All"], ["issued", "Issued"], ["pending", "Pending"], ["refused", "Refused"]]} />
      <${FilterText} label="Reason" name="code" path="/activity" query=${keep} /><${FilterText} label="Address" name="peer" path="/activity" query=${keep} />`}
    ${audit && html`<${FilterText} label="Who" name="actor" path="/activity" query=${keep} /><${FilterText} label="Object" name="object" path="/activity" query=${keep} />`}</div>
    <${List} key=${path} path=${path} query=${query} idOf=${eventId} caption="Activity, newest first" columns=${eventColumns} empty=${html`<${Empty} title="Nothing like that happened."><p>Every request that arrives,
      and everything an administrator does, stands here. If a device says that it asked: <code>scepctl probe</code> from its network.</p><//>`} /><//>`;
}

// ---- explain ----

export function Explain({ at }) {
  const what = at.query.what || "";
  const [word, set] = useState(what);
  const live = useLive(what ? "/explain?what=" + enc(what) : null);
  useEffect(() => set(what), [what]);
  const submit = (e) => { e.preventDefault(); if (word.trim()) go("/explain", { what: word.trim() }); };
  const example = (text) => html`<a href=${href("/explain", { what: text })}>${text}</a>`;
  return html`<${Page} title="Explain"><form onSubmit=${submit}><${Text} label="What" value=${word} onText=${set} help="A transaction, serial, device, address, challenge, request or reason code; the beginning is enough." />
      <button type="submit" class="main">Explain</button></form>
    ${!what && html`<${Section} title="For example"><p>${example("challenge.used")} · ${example("subject.forbidden")} · ${example("key.small")} · ${example("127.0.0.1")}</p><//>`}
    ${what && html`<${Live} live=${live}>${(x) => html`<${Explained} x=${x} what=${what} />`}<//>`}<//>`;
}

function Explained({ x, what }) {
  const all = x.attempts || [], first = all[0], r = x.reason && typeof x.reason === "object" ? x.reason : x.code ? x : null;
  const lines = () => [`${what}: ${x.kind || ""} ${x.value || ""}`, ...(r ? [`${r.code}: ${r.text}`, `Why: ${r.cause}`, `Do: ${r.fix}`] : []), ...(first ? (first.checks || []).map((c) =>
    `${c.state} ${c.check}: ${c.detail || ""}`) : [])].join("\n");
  return html`<${Section} title=${first ? (r ? r.text : "What happened") : r ? r.text || r.code : "Nothing is known of that"} actions=${html`<${Copy} text=${lines()} label="Copy as text" />`}>
    ${first && html`<p><${Chip} state=${first.result} /> ${first.subject} <span class="muted"><${Time} at=${first.at} /></span></p>`}
    ${r && html`<div class=${first ? "note bad" : "note off"}><p><strong>${r.code}</strong></p><${Facts} rows=${[["Why", r.cause], ["What to do", r.fix], ["The device shows", [].concat(r.device_shows || []).join("; ")], ["HRESULT", r.hresult], ["failInfo", r.fail_info]]} />
      ${x.same_reason_24h !== undefined && html`<p>Same reason in 24 hours: <a href=${href("/activity", { code: r.code })}>${x.same_reason_24h}</a>${x.same_reason_24h_addresses ? `, from ${x.same_reason_24h_addresses} addresses` : ""}</p>`}</div>`}
    ${first && html`<${Checks} a=${first} />`}
    ${!first && !r && html`<p>No attempt, certificate, challenge or reason matches “${what}”. If a device says that it asked: <code>scepctl probe</code> from its network.</p>`}<//>
    ${all.length > 1 && html`<${Section} title=${`All ${x.matched || all.length}`}><${Table} caption="Attempts, newest first" idOf=${eventId} rows=${all} columns=${eventColumns.slice(0, 5)} /><//>`}`;
}

/** The checks in their order, and the one that stopped. */
function Checks({ a }) {
  return html`<ol class="steps">${(a.checks || []).map((c) => html`<li><${Chip} state=${{ ok: "passed", stop: "stopped", passed: "passed", stopped: "stopped" }[(c.state)] || c.state} /><b>${c.check}</b><span>${c.detail}</span></li>`)}</ol>
    <${Facts} rows=${[["From", a.peer], ["Client", a.agent], ["Endpoint", a.endpoint], ["Template", a.template], ["Operation", a.operation], ["Transaction", a.transaction && html`<${Mono} text=${a.transaction} />`], ["Key", a.key],
      ["Device", a.device && html`<${Link} to=${"/devices/" + enc(a.device)}>${a.device_name || a.device}<//>`], ["Challenge", a.challenge], ["Request", a.request && html`<${Link} to=${"/requests/" + enc(a.request)}>${a.request}<//>`],
      ["Certificate", a.serial && html`<${Link} to=${"/certificates/" + enc(a.serial)}><${Mono} text=${a.serial} /><//>`], ["Answered", a.status], ["Took", a.ms !== undefined && a.ms + " ms"]]} />`;
}

export { span, clock };
