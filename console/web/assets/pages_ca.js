// @ts-check
// What the authority has given and is asked for: requests, certificates, challenges, and the authority itself.
import { html, useState, useEffect, useRef } from "./vendor.js";
import { call, useLive, useAction, href, go, enc, span } from "./api.js";
import { Page, Facts, Section, List, Live, Table, Time, Chip, Mono, Link, Icon, Empty, Copy, Confirm, FormDialog, Dialog, Text, Choice, Trouble,
  FilterChips, FilterText, faultOf, saveFile, fileName, announce } from "./ui.js";

// ---- requests: decide quickly ----

const DECIDED = /** @type {[string, string][]} */ ([["pending", "Pending"], ["approved", "Approved"], ["issued", "Issued"], ["denied", "Denied"],
  ["cancelled", "Cancelled"], ["expired", "Given up"]]);

/** Keyboard: j and k move, a approves, d denies. */
export function Requests({ at, can, id }) {
  const [state, rows] = [at.query.state || "pending", useRef(([]))];
  const query = { state, endpoint: at.query.endpoint, cursor: at.query.cursor };
  const [dialog, set] = useState((null));
  const open = id;
  const show = (next) => go("/requests" + (next ? "/" + enc(next) : ""), at.query, true);
  useEffect(() => {
    const key = (e) => {
      const t = (e.target);
      if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName) || document.querySelector("dialog[open]")) return;
      const i = rows.current.findIndex((r) => r.id === open), row = rows.current[i];
      if (e.key === "j" || e.key === "k") {
        const next = rows.current[Math.max(0, Math.min(rows.current.length - 1, i < 0 ? 0 : i + (e.key === "j" ? 1 : -1)))];
        if (next) { show(next.id); announce(next.subject); }
      } else if ((e.key === "a" || e.key === "d") && row && row.state === "pending" && can("operator")) {
        e.preventDefault();
        set([e.key === "a" ? "approve" : "deny", row]);
      }
    };
    document.addEventListener("keydown", key);
    return () => document.removeEventListener("keydown", key);
  });
  return html`<${Page} title="Requests"><div class="filters"><${FilterChips} label="State" name="state" path="/requests" query=${query} choices=${DECIDED} /></div>
    <${List} path="/requests" query=${query} caption="Requests" at=${open} onRows=${(r) => { rows.current = r; }} empty=${html`<${Empty}
        title=${state === "pending" ? "Nothing waits." : "None."}>${state === "pending" && html`<p>An endpoint that wants approval puts requests here. Decided ones: <a
        href=${href("/requests", { state: "issued" })}>issued</a>, <a href=${href("/requests", { state: "denied" })}>denied</a>.</p>`}<//>`} columns=${[
      { head: "Subject", cell: (r) => html`<a href=${href("/requests/" + enc(r.id), at.query)}>${r.subject || r.id}</a>` },
      { head: "State", cell: (r) => html`<${Chip} state=${r.state} />` }, { head: "Endpoint", cell: (r) => r.endpoint },
      { head: "Key", cell: (r) => r.key }, { head: "Polls", cell: (r) => r.polls }, { head: "Came", cell: (r) => html`<${Time} at=${r.created_at} />` },
      { head: "Gives up", cell: (r) => html`<${Time} at=${r.expires_at} />` }, { head: "From", cell: (r) => r.peer }]} />
    ${can("operator") && state === "pending" && html`<p class="muted">Keys: j and k move, a approves, d denies.</p>`}
    ${open && html`<${RequestView} key=${open} id=${open} may=${can("operator")} decide=${(what, r) => set([what, r])} />`}
    ${dialog && html`<${Decide} what=${dialog[0]} request=${dialog[1]} onClose=${() => set(null)} onDone=${() => { set(null); show(""); }} />`}<//>`;
}

function RequestView({ id, may, decide }) {
  const live = useLive("/requests/" + enc(id));
  const buttons = (r) => may && r.state === "pending" && html`<button type="button" class="main" onClick=${() => decide("approve", r)}>Approve…</button>
    <button type="button" onClick=${() => decide("deny", r)}>Deny…</button>`;
  return html`<${Section} title=${"Request " + id} actions=${live.data && buttons(live.data)}><${Live} live=${live}>${(r) => html`
    <p><${Chip} state=${r.state} /> ${r.decided_by && html`by ${r.decided_by}, `}${r.decided_at && html`<${Time} at=${r.decided_at} />`} ${r.note && html`“${r.note}”`}</p>
    <${Compare} request=${r} />
    <${Facts} rows=${[["Endpoint", r.endpoint], ["Template", r.template], ["From", r.peer], ["Came", html`<${Time} at=${r.created_at} />`], ["Polled", `${r.polls || 0} times`],
      ["Gives up", html`<${Time} at=${r.expires_at} />`], ["Transaction", r.transaction && html`<${Link} to="/explain" query=${{ what: r.transaction }}><${Mono} text=${r.transaction} /><//>`],
      ["Challenge", r.challenge], ["Device", r.device && html`<${Link} to=${"/devices/" + enc(r.device)}>${r.device}<//>`],
      ["Certificate", r.serial && html`<${Link} to=${"/certificates/" + enc(r.serial)}><${Mono} text=${r.serial} /><//>`]]} />`}<//><//>`;
}

/** What was asked beside what the template would issue. @param {{request: any}} p */
function Compare({ request: r }) {
  const [judged, set] = useState((null));
  useEffect(() => {
    if (!r.csr || !r.template || r.state !== "pending") return;
    call("POST", `/templates/${enc(r.template)}/check`, { csr: r.csr }, { once: false }).then((a) => set(a.data), () => set(null));
  }, [r.id, r.csr]);
  const will = judged && (judged.certificate || judged.would_issue || judged);
  const list = (v) => (Array.isArray(v) ? v.join(", ") : v);
  const rows = /** @type {[string, any, any][]} */ ([["Subject", r.subject, will && will.subject], ["Names", list(r.san), will && list(will.san)], ["Key", r.key, will && will.key],
    ["Key usage", list(r.wants_key_usage), will && list(will.key_usage)], ["Extended usage", list(r.wants_ext_key_usage), will && list(will.ext_key_usage)],
    ["Valid for", "", will && will.valid_seconds && span(will.valid_seconds)]]);
  return html`<table class="compare" role="table"><caption class="hidden">Asked for and would be issued</caption><thead><tr role="row"><th scope="col"><span class="hidden">What</span></th>
    <th scope="col">Asked for</th>${will && html`<th scope="col">Will be issued</th>`}</tr></thead><tbody>${rows.filter(([, a, b]) => a || b).map(([what, a, b]) => html`<tr>
      <th scope="row">${what}</th><td>${a || html`<span class="muted">nothing said</span>`}</td>${will && html`<td class=${a && b && a !== b ? "differs" : undefined}>${
        a && b && a === b ? "the same" : b || html`<span class="muted">nothing</span>`}${a && b && a !== b ? html` <span class="muted">(differs)</span>` : ""}</td>`}</tr>`)}</tbody></table>`;
}

function Decide({ what, request: r, onClose, onDone }) {
  const [note, setNote] = useState("");
  const deny = what === "deny";
  const action = () => call("POST", `/requests/${enc(r.id)}/${what}`, { note }, { etag: r.etag }).then((a) => a.data || true);
  const body = (error) => html`<p><strong>${r.subject}</strong>, ${r.key}, from ${r.peer}, at endpoint ${r.endpoint}.</p>
    <p>${deny ? "The device is told no when it asks next. It may ask anew." : "The certificate is issued now; the device has it when it asks next."}</p>
    <${Text} label=${deny ? "Why (needed)" : "Note"} value=${note} onText=${setNote} maxlength="256" required=${deny} error=${faultOf(error, "note")} />`;
  return deny ? html`<${Confirm} title="Deny this request" verb="Deny" action=${action} ready=${note.trim() !== ""} onClose=${() => onClose()} done="Denied">${body(null)}<//>`
    : html`<${FormDialog} title="Approve this request" verb="Approve" action=${action} onClose=${onClose} onDone=${onDone}>${body}<//>`;
}

// ---- certificates ----

const CERT_STATES = /** @type {[string, string][]} */ ([["", "All"], ["active", "Active"], ["expiring", "Expiring"], ["held", "On hold"], ["revoked", "Revoked"], ["expired", "Expired"]]);

export const certColumns = [
  { head: "Subject", cell: (c) => html`<${Link} to=${"/certificates/" + enc(c.serial)}>${c.subject || c.serial}<//>` },
  { head: "State", cell: (c) => html`<${Chip} state=${c.state} />` },
  { head: "Serial", cell: (c) => html`<${Mono} text=${c.serial} short=${12} />` },
  { head: "Template", cell: (c) => c.template },
  { head: "Issued", cell: (c) => html`<${Time} at=${c.issued_at || c.not_before} />` },
  { head: "Expires", cell: (c) => html`<${Time} at=${c.not_after} />` },
  { head: "Renewed by", cell: (c) => (c.renewed_by ? html`<${Link} to=${"/certificates/" + enc(c.renewed_by)}><${Mono} text=${c.renewed_by} short=${8} /><//>`
    : html`<span class="muted">nobody yet</span>`) },
];

export function Certificates({ at }) {
  const q = at.query;
  const query = { state: q.state, q: q.q, template: q.template, cursor: q.cursor };
  return html`<${Page} title="Certificates"><div class="filters"><${FilterChips} label="State" name="state" path="/certificates" query=${query} choices=${CERT_STATES} />
    <${FilterText} label="Search" path="/certificates" query=${query} /></div>
    <${List} path="/certificates" query=${query} idOf=${(c) => c.serial} caption="Certificates" columns=${certColumns}
      empty=${html`<${Empty} title="No certificate like that."><p>Devices get theirs by SCEP: make a <${Link} to="/policies">policy<//> and hand out its profile.</p><//>`} /><//>`;
}

// Reasons in plain words (RFC 5280 section 5.3.1).
const REASONS = /** @type {[string, string][]} */ ([["unspecified", "No reason to tell"], ["key_compromise", "The key may be in other hands: lost, stolen, copied"],
  ["affiliation_changed", "The device or its user belongs elsewhere now"], ["superseded", "Replaced by another certificate"],
  ["cessation_of_operation", "Out of use: retired, sold, broken"], ["privilege_withdrawn", "It may no longer do what it says"], ["certificate_hold", "For now only: on hold, can be released"]]);

export function Certificate({ id, can }) {
  const live = useLive("/certificates/" + enc(id));
  const [dialog, set] = useState("");
  const c = live.data;
  const save = useAction(async (accept, end) => {
    const r = await call("GET", "/certificates/" + enc(id), undefined, { accept });
    saveFile(r.data, fileName(r.response, id + end));
  });
  const alive = c && /^(active|expiring|valid)$/.test(c.state), held = c && /^(held|hold|on_hold)$/.test(c.state);
  return html`<${Page} title=${c ? c.subject || c.serial : "Certificate"} up=${[["/certificates", "Certificates"]]} word=${c && html`<${Chip} state=${c.state} />`} actions=${c && html`
      <button type="button" onClick=${() => save.run("application/x-pem-file", ".pem")}>PEM</button><button type="button" onClick=${() => save.run("application/pkix-cert", ".cer")}>DER</button>
      ${held && can("administrator") && html`<button type="button" onClick=${() => set("release")}>Release…</button>`}
      ${(alive || held) && can("administrator") && html`<button type="button" class="danger" onClick=${() => set("revoke")}>Revoke…</button>`}`}>
    <${Trouble} error=${save.error} /><${Live} live=${live}>${() => html`
    ${c.revoked_at && html`<p class="note bad"><${Icon} name="cross" />${held ? "On hold" : "Revoked"} <${Time} at=${c.revoked_at} />: ${reasonText(c.revocation_reason)}. ${
      c.revocation_note || ""} OCSP says so at once, the revocation list with its next issue.</p>`}
    <${Facts} rows=${[["Serial", html`<${Mono} text=${c.serial} />`], ["Valid from", html`<${Time} at=${c.not_before} full />`], ["Valid until", html`<${Time} at=${c.not_after} full />`],
      ["Names", [].concat(c.san || []).join(", ")], ["Key", c.key], ["May be used for", [].concat(c.key_usage || []).join(", ")], ["Purposes", [].concat(c.ext_key_usage || []).join(", ")],
      ["Template", c.template], ["Endpoint", c.endpoint], ["Issuer", c.issuer],
      ["Device", c.device && html`<${Link} to=${"/devices/" + enc(c.device)}>${c.device_name || c.device}<//>`], ["Policy", c.policy && html`<${Link} to=${"/policies/" + enc(c.policy)}>${c.policy_name || c.policy}<//>`],
      ["Came by", c.challenge ? "challenge " + c.challenge : c.renews ? html`renewal of <${Link} to=${"/certificates/" + enc(c.renews)}><${Mono} text=${c.renews} short=${12} /><//>` : ""],
      ["Renewed by", c.renewed_by && html`<${Link} to=${"/certificates/" + enc(c.renewed_by)}><${Mono} text=${c.renewed_by} short=${12} /><//>`],
      ["Transaction", c.transaction && html`<${Link} to="/explain" query=${{ what: c.transaction }}><${Mono} text=${c.transaction} /><//>`],
      ["SHA-256", c.sha256 && html`<${Mono} text=${c.sha256} />`], ["SHA-1 (thumbprint)", c.sha1 && html`<${Mono} text=${c.sha1} />`]]} />
    <p><${Link} to="/explain" query=${{ what: c.serial }}>What happened with this certificate<//></p>`}<//>
    ${dialog === "revoke" && html`<${Revoke} certificate=${c} etag=${c.etag || live.etag} onClose=${() => { set(""); live.reload(); }} />`}
    ${dialog === "release" && html`<${Confirm} title="Release from hold" verb="Release" onClose=${() => { set(""); live.reload(); }}
      action=${() => call("POST", `/certificates/${enc(id)}/release`, {}, { etag: c.etag || live.etag })}><p><strong>${c.subject}</strong> is good again from the next revocation list on; OCSP says so at once.</p><//>`}<//>`;
}

/** @param {string} code */
const reasonText = (code) => (REASONS.find(([c]) => c === code) || [0, code || "no reason told"])[1];

function Revoke({ certificate: c, etag, onClose }) {
  const [reason, setReason] = useState("unspecified"), [note, setNote] = useState("");
  return html`<${Confirm} title="Revoke this certificate" verb="Revoke" onClose=${onClose} done="Revoked"
      action=${() => call("POST", `/certificates/${enc(c.serial)}/revoke`, { reason, ...(note.trim() ? { note: note.trim() } : {}) }, { etag })}>
    <p><strong>${c.subject}</strong>, serial <${Mono} text=${c.serial} short=${16} />, valid until <${Time} at=${c.not_after} />.</p>
    <p>From now on OCSP and the revocation list name it, and it cannot be renewed. ${reason === "certificate_hold" ? "A hold can be released." : "This cannot be undone."}</p>
    <${Choice} label="Reason" value=${reason} onText=${setReason} choices=${REASONS} /><${Text} label="Note" value=${note} onText=${setNote} maxlength="256" /><//>`;
}

// ---- challenges ----

export function Challenges({ at, can }) {
  const q = at.query, query = { state: q.state, device: q.device, cursor: q.cursor };
  const [dialog, set] = useState((q.new ? "new" : null));
  return html`<${Page} title="Challenges" actions=${can("operator") && html`<button type="button" class="main" onClick=${() => set("new")}>New challenge</button>`}>
    <div class="filters"><${FilterChips} label="State" name="state" path="/challenges" query=${query} choices=${[["", "All"], ["open", "Open"], ["used", "Used"], ["expired", "Expired"], ["revoked", "Revoked"]]} /></div>
    <${List} path="/challenges" query=${query} caption="Challenges" empty=${html`<${Empty} title="No challenge like that."><p>A challenge is a password that a device sends with its request.</p>
        <p>It is used once, ends by itself, and may be bound to one device.</p><//>`} columns=${[
      { head: "Challenge", cell: (c) => html`<${Link} to="/explain" query=${{ what: c.id }}>${c.id}<//>` }, { head: "State", cell: (c) => html`<${Chip} state=${c.state} />` },
      { head: "Used", cell: (c) => c.used }, { head: "Bound to", cell: (c) => c.device_name || c.bound_to || c.device || html`<span class="muted">nothing</span>` }, { head: "Label", cell: (c) => c.label },
      { head: "Made by", cell: (c) => c.created_by }, { head: "Expires", cell: (c) => html`<${Time} at=${c.expires_at} />` },
      { head: "", cell: (c) => c.state === "open" && can("operator") && html`<button type="button" onClick=${() => set(c)}>Revoke<span class="hidden"> ${c.id}</span>…</button>` }]} />
    ${dialog === "new" && html`<${NewChallenge} onClose=${() => set(null)} onMade=${(c) => set({ made: c })} />`}
    ${dialog && dialog.made && html`<${Made} challenge=${dialog.made} onClose=${() => set(null)} />`}
    ${dialog && dialog.id && html`<${Confirm} title=${"Revoke " + dialog.id} verb="Revoke" onClose=${() => set(null)}
      action=${() => call("DELETE", "/challenges/" + enc(dialog.id), undefined, { etag: dialog.etag })}><p>Made by ${dialog.created_by}, good until <${Time} at=${dialog.expires_at} />.</p>
      <p>Who sends it from now on is refused. This cannot be undone.</p><//>`}<//>`;
}

export function NewChallenge({ onClose, onMade }) {
  const ends = useLive("/endpoints"), templates = useLive("/templates");
  const [f, setF] = useState({ label: "", endpoint: "", template: "", subject: "", uses: "1", hours: "1" });
  const put = (name) => (v) => setF((o) => ({ ...o, [name]: v }));
  const names = (live, key) => [["", "Any"], ...(live.data ? live.data.items.map((i) => [i[key], i[key]]) : [])];
  const action = async () => {
    /** @type {any} */
    const body = { expires_seconds: Math.round(Number(f.hours) * 3600), uses: Number(f.uses) };
    for (const k of ["label", "endpoint", "template", "subject"]) if ((f)[k].trim()) body[k] = (f)[k].trim();
    return (await call("POST", "/challenges", body)).data;
  };
  return html`<${FormDialog} title="New challenge" verb="Make the challenge" action=${action} onClose=${onClose} onDone=${onMade}>${(e) => html`
    <div class="two"><${Choice} label="Good for" value=${f.hours} onText=${put("hours")} choices=${[["1", "1 hour"], ["4", "4 hours"], ["24", "a day"], ["168", "a week"]]} />
      <${Text} label="Uses" type="number" min="1" max="1000" value=${f.uses} onText=${put("uses")} error=${faultOf(e, "uses")} /></div>
    <${Text} label="Subject it is bound to" value=${f.subject} onText=${put("subject")} error=${faultOf(e, "subject")} help="As CN=ipad-0113; empty: any that the template allows." />
    <div class="two"><${Choice} label="Endpoint" value=${f.endpoint} onText=${put("endpoint")} choices=${names(ends, "path")} error=${faultOf(e, "endpoint")} />
      <${Choice} label="Template" value=${f.template} onText=${put("template")} choices=${names(templates, "name")} error=${faultOf(e, "template")} /></div>
    <${Text} label="Label" value=${f.label} onText=${put("label")} error=${faultOf(e, "label")} help="For you: it stands in lists and in the certificate's history." />`}<//>`;
}

/** The one time that a challenge is seen. */
export function Made({ challenge: c, onClose }) {
  const [secret] = useState(c.secret);
  return html`<${Dialog} title="The challenge" onClose=${onClose}><p>It is shown this once; scepd keeps a hash of it.</p><p class="secret"><${Mono} text=${secret} /></p>
    <p><${Copy} text=${secret} label="Copy the challenge" /></p>
    <${Facts} rows=${[["Id", c.id], ["Good until", html`<${Time} at=${c.expires_at} />`], ["Bound to", c.device_name || c.device || c.subject], ["SCEP URL", c.url && html`<${Mono} text=${c.url} />`]]} />
    <div class="buttons"><button type="button" class="main" onClick=${onClose}>Done</button></div><//>`;
}

// ---- authority ----

export function Authority({ can }) {
  const live = useLive("/authorities");
  const ends = useLive("/endpoints"), templates = useLive("/templates");
  return html`<${Page} title="Authority"><${Live} live=${live}>${(d) => d.items.map((a) => html`<${One} key=${a.id || a.name || a.authority} a=${a} can=${can} />`)}<//>
    <${Section} title="Endpoints"><${Live} live=${ends}>${(d) => html`<${Table} caption="Endpoints" idOf=${(e) => e.path || e.name} rows=${d.items} columns=${[
      { head: "Path", cell: (e) => html`<${Mono} text=${e.path || e.name} />` }, { head: "URL", cell: (e) => html`<${Mono} text=${e.url || ""} />` },
      { head: "Authority", cell: (e) => e.authority }, { head: "Template", cell: (e) => e.template }, { head: "Challenge", cell: (e) => [].concat(e.challenge || []).join(", ") }]} />`}<//><//>
    <${Section} title="Templates"><${Live} live=${templates}>${(d) => html`<${Table} caption="Templates" idOf=${(t) => t.name} rows=${d.items} columns=${[
      { head: "Name", cell: (t) => t.name }, { head: "Valid for", cell: (t) => (t.valid_seconds ? span(t.valid_seconds) : "") },
      { head: "Key usage", cell: (t) => [].concat(t.key_usage || []).join(", ") }, { head: "Purposes", cell: (t) => [].concat(t.ext_key_usage || []).join(", ") }]} />`}<//><//><//>`;
}

function One({ a, can }) {
  const name = a.name || a.authority;
  const publish = useAction(async () => { await call("POST", `/authorities/${enc(name)}/crl/publish`, {}); announce("The revocation list is published"); });
  const chain = useAction(async () => {
    const r = await call("GET", `/authorities/${enc(name)}/chain`, undefined, { accept: "application/x-pem-file" });
    saveFile(r.data instanceof Blob ? r.data : new Blob([r.data.pem || JSON.stringify(r.data)]), fileName(r.response, name + ".pem"));
  });
  const day = (at) => at && html`<${Time} at=${at} />`;
  return html`<${Section} title=${name} actions=${html`<button type="button" onClick=${() => chain.run()}>Certificates (PEM)</button>${
      can("administrator") && html`<button type="button" disabled=${publish.busy} onClick=${() => publish.run()}>Publish the revocation list now</button>`}`}>
    <${Trouble} error=${publish.error || chain.error} />
    <${Facts} rows=${[["Subject", a.subject], ["Key", a.key], ["Valid until", day(a.not_after)], ["RA until", day(a.ra_not_after)], ["OCSP responder until", day(a.ocsp_not_after)],
      ["Role", a.role && html`<${Chip} state=${a.role} />`], ["Next step", a.next_step], ["When", day(a.next_step_at)], ["Takes over", day(a.takes_over)],
      ["Revocation list", a.crl_number !== undefined && a.crl_number !== null && "number " + a.crl_number], ["Its next issue by", day(a.crl_next_update)],
      ["List's address", a.crl_url && html`<${Mono} text=${a.crl_url} />`], ["OCSP", a.ocsp_url && html`<${Mono} text=${a.ocsp_url} />`]]} />
    <h3>Fingerprints, as each kind of device asks for them</h3>
    <${Facts} rows=${[["Apple, Android, strongSwan: SHA-256", a.sha256 && html`<${Mono} text=${a.sha256} />`], ["Windows thumbprint: SHA-1", a.sha1 && html`<${Mono} text=${a.sha1} />`],
      ["Cisco IOS: MD5", a.md5 && html`<${Mono} text=${a.md5} />`], ["RA: SHA-256", a.ra_sha256 && html`<${Mono} text=${a.ra_sha256} />`]]} /><//>`;
}
