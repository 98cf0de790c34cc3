// @ts-check
// Is anything wrong, what happened, and why: overview, health, activity, explain.
import { html, useState, useEffect } from "./vendor.js";
import { call, useLive, useAction, href, go, enc, queryText } from "./api.js";
import { Page, Facts, Section, List, Live, Table, Time, Chip, Link, Mono, Icon, Empty, Text, Trouble, Copy, FilterChips, FilterText, saveFile } from "./ui.js";

// ---- overview ----

export function Overview({ overview }) {
  return html`<${Page} title="Overview"><${Live} live=${overview}>${(o) => html`
    <${Attention} items=${o.attention} />
    <${Numbers} o=${o} />
    ${total(o.devices) === 0 && total(o.certificates) === 0 && html`<${Empty} title="Nothing enrolled yet. Three ways to the first certificate:"><ol>
      <li>Make a <a href=${href("/devices", { new: 1 })}>device</a> and a <${Link} to="/policies">policy<//>, assign it, download the profile.</li>
      <li>Make a <a href=${href("/challenges", { new: 1 })}>challenge</a> and give it to any SCEP client.</li><li>Point your MDM product at the SCEP URL of an <${Link} to="/authority">endpoint<//>.</li></ol>
      <p>This page tells when it arrives.</p><//>`}
    <${Day} o=${o} /><${Dates} o=${o} />`}<//><//>`;
}

const total = (counts) => Object.values(counts).reduce((sum, n) => sum + n, 0);

/** Of an address below the API, the page that shows it. @param {string | null} link */
const pageOf = (link) => (link || "/health").replace(/^\/status$/, "/health").replace(/^\/authorities.*/, "/authority").replace(/^\/events/, "/activity");

function Attention({ items }) {
  if (items.length === 0) return html`<p class="note good"><${Icon} name="tick" />Nothing needs you.</p>`;
  return html`<${Section} title=${`Attention (${items.length})`}>${items.map((a) => html`<div class=${"note " + (a.status === "fail" ? "bad" : "warn")}>
    <div class="row"><span><${Icon} name=${a.status === "fail" ? "cross" : "triangle"} />${a.text}</span>
    <a class="button" href=${"#" + pageOf(a.link)}>${/^.explain/.test(a.link || "") ? "Explain" : "Show"}<span class="hidden">: ${a.text}</span></a></div>
    ${a.fix && html`<p>What to do: ${a.fix}</p>`}</div>`)}<//>`;
}

function Numbers({ o }) {
  const c = o.certificates, one = (n, text, many, to, q) => html`<li><a href=${href(to, q)}><b>${n.toLocaleString()}</b>${n === 1 ? text : many}</a></li>`;
  return html`<ul class="numbers">${one(total(o.devices) - o.devices.retired, "device", "devices", "/devices", {})}${one(c.active, "active certificate", "active certificates", "/certificates", { state: "active" })}
    ${one(c.expiring_30d, "expires in 30 days", "expire in 30 days", "/certificates", { state: "expiring" })}${one(c.revoked, "revoked", "revoked", "/certificates", { state: "revoked" })}
    ${one(o.requests.pending, "request waits", "requests wait", "/requests", {})}</ul>`;
}

/** Issued and refused of 24 hours: small bars, and the same as a table. */
function Day({ o }) {
  const [table, set] = useState(false), hours = o.last_24h;
  const most = Math.max(1, ...hours.map((h) => Math.max(h.issued, h.refused)));
  const bar = (k, tone) => html`<svg class="bars" viewBox="0 0 240 56" preserveAspectRatio="none" aria-hidden="true"><line x1="0" y1="55.500" x2="240" y2="55.500" />
    ${hours.map((h, i) => { const y = Math.ceil((54 * h[k]) / most); return html`<rect class=${tone} x=${i * 10 + 1} width="8" y=${55 - y} height=${y} />`; })}</svg>`;
  return html`<${Section} title="Last 24 hours" actions=${html`<button type="button" aria-expanded=${table ? "true" : "false"} onClick=${() => set(!table)}>${table ? "As bars" : "As a table"}</button>`}>
    ${table ? html`<${Table} caption="Issued and refused by hour" idOf=${(h) => h.at} rows=${hours} columns=${[{ head: "Hour", cell: (h) => html`<${Time} at=${h.at} />` },
      { head: "Issued", cell: (h) => h.issued }, { head: "Refused", cell: (h) => h.refused }]} />` : html`<div class="two"><div><p><a href=${href("/activity", { result: "issued" })}>${o.issued_24h} issued</a></p>${bar("issued", "y")}</div>
      <div><p><a href=${href("/activity", { result: "refused" })}>${o.refused_24h} refused</a></p>${bar("refused", "n")}</div></div>`}
    ${o.reasons_24h.length > 0 && html`<ul>${o.reasons_24h.map((r) => html`<li>${r.count} × <${Link} to="/explain" query=${{ what: r.code }}>${r.text}<//></li>`)}</ul>`}<//>`;
}

/** What runs out, and when. */
function Dates({ o }) {
  const rows = o.authorities.flatMap((a) => [["not_after", "CA"], ["ra_not_after", "RA"], ["ocsp_not_after", "OCSP responder"], ["crl_next_update", "next revocation list by"]].map(
    ([k, what]) => [`${a.name}: ${what}`, a[k] && html`<${Time} at=${a[k]} />`]));
  return html`<${Section} title="Dates"><${Facts} rows=${[...rows, ["Last backup", html`<${Time} at=${o.backup_last_success} none="none yet" />`]]} /><//>`;
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
const isAttempt = (e) => e.kind === "attempt";

const eventColumns = [
  { head: "When", cell: (e) => html`<${Time} at=${e.at} />` },
  { head: "What", cell: (e) => (isAttempt(e) ? html`<${Chip} state=${e.result} />` : html`<span class="nowrap">${e.event}</span>`) },
  { head: "Told", cell: (e) => (isAttempt(e) ? (e.reason ? html`${e.reason_text || e.reason}${e.detail ? html`: ${e.detail}` : ""} <span class="muted">(${e.reason})</span>` : e.operation) : e.text) },
  { head: "Subject", cell: (e) => (isAttempt(e) ? e.subject || e.who : e.object) },
  { head: "Who", cell: (e) => html`<span class="nowrap">${isAttempt(e) ? e.peer : e.actor}</span>` },
  { head: "", cell: (e) => isAttempt(e) && html`<${Link} to="/explain" query=${{ what: e.transaction || e.serial || e.subject || e.peer }}>Why<span class="hidden">: ${e.subject} ${e.at}</span><//>` },
];

const eventId = (e) => e.id;

/** @param {{live: any}} p */
export const EventList = ({ live }) => html`<${Live} live=${live}>${(d) => (d.items.length === 0 ? html`<p class="muted">Nothing yet.</p>`
  : html`<${Table} caption="Action history, newest first" idOf=${eventId} rows=${d.items} columns=${eventColumns} />`)}<//>`;

export function Activity({ at }) {
  const q = at.query, audit = q.show === "audit";
  const query = audit ? { actor: q.actor, object: q.object, reads: q.reads } : { device: q.device, policy: q.policy, result: q.result, code: q.code, peer: q.peer };
  const path = audit ? "/audit" : "/events", keep = { ...query, show: q.show };
  const save = useAction(async () => {
    const text = queryText(audit ? { ...query, reads: q.reads || "false" } : query), parts = [];
    for (let next = path + (text ? "?" + text : ""); next;) { // an answer has its limit and names the next one
      const r = await call("GET", next, undefined, { accept: "application/x-ndjson" });
      parts.push(r.data);
      next = (/<\/api\/v1([^>]*)>; rel="next"/.exec(r.response.headers.get("Link") || "") || [])[1];
    }
    saveFile(new Blob(parts), path.slice(1) + ".ndjson");
  });
  return html`<${Page} title="Activity" actions=${html`<button type="button" disabled=${save.busy} onClick=${() => save.run()}>Export</button><${Link} to="/explain" class="button">Explain<//>`}><${Trouble} error=${save.error} />
    <div class="filters"><${FilterChips} label="Of whom" name="show" path="/activity" query=${{ show: q.show }} choices=${[["", "Devices"], ["audit", "Administrators (audit log)"]]} />
    ${!audit && html`<${FilterChips} label="Result" name="result" path="/activity" query=${keep} choices=${[["", "All"], ["issued", "Issued"], ["renewed", "Renewed"], ["pending", "Pending"], ["refused", "Refused"], ["failed", "Failed"]]} />
      <${FilterText} label="Reason code" name="code" path="/activity" query=${keep} /><${FilterText} label="Address" name="peer" path="/activity" query=${keep} />`}
    ${audit && html`<${FilterChips} label="Calls" name="reads" path="/activity" query=${keep} choices=${[["", "Changes"], ["true", "Also reads"]]} />
      <${FilterText} label="Who" name="actor" path="/activity" query=${keep} /><${FilterText} label="Object" name="object" path="/activity" query=${keep} />`}</div>
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
  const all = x.attempts || [], first = all[0], r = x.reason;
  const lines = () => [`${what}: ${x.kind || "several things"} ${x.value || ""}`, ...(first ? [`${first.at} ${first.result} ${first.who || ""}`] : []), ...(r ? [`${r.code}: ${r.text}`, `Why: ${r.cause}`, `Do: ${r.fix}`] : []),
    ...(first ? first.checks.map((c) => `${c.state}: ${c.check}${c.detail ? ": " + c.detail : ""}`) : [])].join("\n");
  const linked = [["Certificate", x.certificate && html`<${Link} to=${"/certificates/" + enc(x.certificate.serial)}>${x.certificate.subject}<//> <${Chip} state=${x.certificate.state} />`],
    ["Request", x.request && html`<${Link} to=${"/requests/" + enc(x.request.id)}>${x.request.id}<//> <${Chip} state=${x.request.state} />`],
    ["Challenge", x.challenge && html`${x.challenge.id} <${Chip} state=${x.challenge.state} /> by ${x.challenge.created_by}`]];
  if (x.candidates && x.candidates.length) {
    return html`<${Section} title="It may be one of these"><ul>${x.candidates.map((c) => html`<li><a href=${href("/explain", { what: c.value })}>${c.value}</a> <span class="muted">${c.kind}, ${c.attempts} attempts</span></li>`)}</ul><//>`;
  }
  return html`<${Section} title=${r ? r.text : first ? "It went well" : "No attempt is known of it"} actions=${html`<${Copy} text=${lines()} label="Copy as text" />`}>
    ${first && html`<p><${Chip} state=${first.result} /> ${first.who || first.subject} <span class="muted"><${Time} at=${first.at} /></span></p>${first.detail && html`<p><strong>${first.detail}</strong></p>`}`}
    ${r && html`<div class=${"note " + (first ? "bad" : "off")}><p><strong>${r.code}</strong></p><${Facts} rows=${[["Why", r.cause], ["What to do", (first && first.fix) || r.fix], ["The device shows", r.device_shows && html`<span class="lines">${r.device_shows}</span>`],
      ["HRESULT", r.hresult], ["failInfo", r.fail_info]]} />
      ${x.same_reason_24h !== null && html`<p>Same reason in 24 hours: <a href=${href("/activity", { code: r.code })}>${x.same_reason_24h}</a>, from ${x.same_reason_24h_addresses} address${x.same_reason_24h_addresses === 1 ? "" : "es"}</p>`}</div>`}
    <${Facts} rows=${linked} />${first && html`<${Checks} a=${first} />`}<//>
    ${all.length > 1 && html`<${Section} title=${`All ${x.matched}`}><${Table} caption="Attempts, newest first" idOf=${eventId} rows=${all} columns=${eventColumns.slice(0, 5)} /><//>`}`;
}

/** The checks in their order, and the one that stopped. */
function Checks({ a }) {
  return html`<ol class="steps">${(a.checks || []).map((c) => html`<li><${Chip} state=${{ ok: "passed", stop: "stopped", passed: "passed", stopped: "stopped" }[(c.state)] || c.state} /><b>${c.check}</b><span>${c.detail}</span></li>`)}</ol>
    <${Facts} rows=${[["From", a.peer], ["Client", a.agent], ["Endpoint", a.endpoint], ["Template", a.template], ["Operation", a.operation], ["Transaction", a.transaction && html`<${Mono} text=${a.transaction} />`], ["Key", a.key],
      ["Device", a.device && html`<${Link} to=${"/devices/" + enc(a.device)}>${a.device}<//>`], ["Challenge", a.challenge],
      ["Not reached", a.not_reached], ["Sent back", a.sent], ["Took", a.ms + " ms"]]} />`;
}
