// @ts-check
// What the authority has given and is asked for: requests, certificates, challenges, and the authority itself.
import { html, useState, useLayoutEffect, useRef } from "./vendor.js";
import { call, listen, useLive, useAction, href, go, enc, span } from "./api.js";
import { Page, Facts, Section, List, Live, Table, Time, Chip, Mono, Link, Icon, Empty, Copy, Confirm, FormDialog, Dialog, Text, Choice, Trouble,
  FilterChips, FilterText, useForm, faultOf, saveFile, fileName, announce } from "./ui.js";

// ---- requests: decide quickly ----

const DECIDED = /** @type {[string, string][]} */ ([["pending", "Pending"], ["approved", "Approved"], ["issued", "Issued"], ["denied", "Denied"], ["expired", "Given up"]]);

/** Keyboard: j and k move, a approves, d denies. */
export function Requests({ at, can, id }) {
  const [state, rows] = [at.query.state || "pending", useRef(([]))];
  const query = { state, endpoint: at.query.endpoint };
  const [dialog, set] = useState((null));
  const open = id;
  const show = (next) => go("/requests" + (next ? "/" + enc(next) : ""), at.query, true);
  useLayoutEffect(() => { // before anybody sees the page: the next key is about what it shows
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
    return listen("keydown", key);
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

/** What was asked beside what the template would issue. */
function Compare({ request: r }) {
  const w = r.would_issue;
  const rows = [["Subject", r.subject, w && w.subject], ["Names", r.san, w && w.san], ["Key usage", r.wants_key_usage, w && w.key_usage],
    ["Extended usage", r.wants_ext_key_usage, w && w.ext_key_usage], ["Key", r.key, w && w.ok && r.key],
    ["Valid for", "", w && w.not_after && span((new Date(w.not_after).getTime() - new Date(w.not_before).getTime()) / 1000)]];
  const nothing = html`<span class="muted">nothing said</span>`;
  return html`${w && !w.ok && html`<div class="note bad"><p><${Icon} name="cross" /><strong>${w.text}</strong> (${w.code})</p><p>${w.detail}</p>${w.fix && html`<p>What to do: ${w.fix}</p>`}</div>`}
    <table class="compare"><caption class="hidden">Asked for and would be issued</caption><thead><tr><th scope="col"><span class="hidden">What</span></th>
    <th scope="col">Asked for</th>${w && w.ok && html`<th scope="col">Will be issued</th>`}</tr></thead><tbody>${rows.filter(([, x, y]) => x || y).map(([what, x, y]) => html`<tr>
      <th scope="row">${what}</th><td>${x || nothing}</td>${w && w.ok && html`<td class=${x && x !== y ? "differs" : undefined}>${
        x && x === y ? "the same" : y || "none"}${x && x !== y ? html` <span class="muted">(differs)</span>` : ""}</td>`}</tr>`)}</tbody></table>`;
}

function Decide({ what, request: r, onClose, onDone }) {
  const [note, setNote] = useState("");
  const deny = what === "deny";
  const action = () => call("POST", `/requests/${enc(r.id)}/${what}`, { note }, { etag: r.etag }).then((a) => a.data || true);
  const body = (error) => html`<p><strong>${r.subject}</strong>, ${r.key}, from ${r.peer}, at endpoint ${r.endpoint}.</p>
    <p>${deny ? "The device is told no when it asks next. It may ask anew." : "The certificate is issued now; the device has it when it asks next."}</p>
    <${Text} label=${deny ? "Why (needed)" : "Note"} value=${note} onText=${setNote} maxlength="200" required=${deny} error=${faultOf(error, "note")} />`;
  return deny ? html`<${Confirm} title="Deny this request" verb="Deny" action=${action} ready=${note.trim() !== ""} onClose=${() => onClose()} done="Denied">${body(null)}<//>`
    : html`<${FormDialog} title="Approve this request" verb="Approve" action=${action} onClose=${onClose} onDone=${onDone}>${body}<//>`;
}

// ---- certificates ----

const CERT_STATES = /** @type {[string, string][]} */ ([["", "All"], ["active", "Active"], ["expiring", "Expiring in 30 days"], ["held", "On hold"], ["revoked", "Revoked"], ["superseded", "Superseded"],
  ["expired", "Expired"]]);

/** To the hour, so that the question stays the same. */
const soon = () => new Date(Math.ceil(Date.now() / 3600e3) * 3600e3 + 30 * 86400e3).toISOString().replace(/\.\d+/, "");
const certState = (c) => (c.state === "active" && !c.renewed_by && new Date(c.not_after).getTime() - Date.now() < 30 * 86400e3 ? "expiring" : c.state);

export const certColumns = [
  { head: "Subject", cell: (c) => html`<${Link} to=${"/certificates/" + enc(c.serial)}>${c.subject || c.serial}<//>` },
  { head: "State", cell: (c) => html`<${Chip} state=${certState(c)} />` },
  { head: "Serial", cell: (c) => html`<${Mono} text=${c.serial} short=${12} />` },
  { head: "Template", cell: (c) => c.template },
  { head: "Issued", cell: (c) => html`<${Time} at=${c.issued_at || c.not_before} />` },
  { head: "Expires", cell: (c) => html`<${Time} at=${c.not_after} />` },
  { head: "Renewed by", cell: (c) => (c.renewed_by ? html`<${Link} to=${"/certificates/" + enc(c.renewed_by)}><${Mono} text=${c.renewed_by} short=${8} /><//>`
    : html`<span class="muted">nobody yet</span>`) },
];

export function Certificates({ at }) {
  const q = at.query;
  const query = { state: q.state, q: q.q, template: q.template };
  const asked = q.state === "expiring" ? { ...query, state: "active", expires_before: soon(), sort: "oldest" } : query;
  return html`<${Page} title="Certificates"><div class="filters"><${FilterChips} label="State" name="state" path="/certificates" query=${query} choices=${CERT_STATES} />
    <${FilterText} label="Search" path="/certificates" query=${query} /></div>
    <${List} path="/certificates" query=${asked} idOf=${(c) => c.serial} caption="Certificates" columns=${certColumns}
      empty=${html`<${Empty} title="No certificate like that."><p>Devices get theirs by SCEP: make a <${Link} to="/policies">policy<//> and hand out its profile.</p><//>`} /><//>`;
}

// Reasons in plain words (RFC 5280 section 5.3.1).
const REASONS = /** @type {[string, string][]} */ ([["unspecified", "No reason to tell"], ["key-compromise", "The key may be in other hands: lost, stolen, copied"],
  ["affiliation-changed", "The device or its user belongs elsewhere now"], ["superseded", "Replaced by another certificate"],
  ["cessation", "Out of use: retired, sold, broken"], ["privilege-withdrawn", "It may no longer do what it says"], ["hold", "For now only: on hold, can be released"]]);

export function Certificate({ id, can }) {
  const live = useLive("/certificates/" + enc(id));
  const [dialog, set] = useState("");
  const c = live.data;
  const save = useAction(async (accept, end) => {
    const r = await call("GET", "/certificates/" + enc(id), undefined, { accept });
    saveFile(r.data, fileName(r.response, id + end));
  });
  const alive = c && /^(active|superseded)$/.test(c.state), held = c && c.state === "held";
  return html`<${Page} title=${c ? c.subject || c.serial : "Certificate"} up=${[["/certificates", "Certificates"]]} word=${c && html`<${Chip} state=${certState(c)} />`} actions=${c && html`
      <button type="button" onClick=${() => save.run("application/x-pem-file", ".pem")}>PEM</button><button type="button" onClick=${() => save.run("application/pkix-cert", ".cer")}>DER</button>
      ${held && can("administrator") && html`<button type="button" onClick=${() => set("release")}>Release…</button>`}
      ${(alive || held) && can("administrator") && html`<button type="button" class="danger" onClick=${() => set("revoke")}>Revoke…</button>`}`}>
    <${Trouble} error=${save.error} /><${Live} live=${live}>${() => html`
    ${c.revoked_at && html`<p class="note bad"><${Icon} name="cross" />${held ? "On hold" : "Revoked"} <${Time} at=${c.revoked_at} />: ${reasonText(c.revocation_reason)}. OCSP says so at once, the revocation
      list within seconds.</p>`}
    <${Facts} rows=${[["Serial", html`<${Mono} text=${c.serial} />`], ["Valid from", html`<${Time} at=${c.not_before} full />`], ["Valid until", html`<${Time} at=${c.not_after} full />`],
      ["Names", c.san], ["Key", c.key], ["May be used for", c.key_usage], ["Purposes", c.ext_key_usage],
      ["Template", c.template], ["Endpoint", c.endpoint], ["Authority", c.authority], ["Issuer", c.issuer],
      ["Device", c.device && html`<${Link} to=${"/devices/" + enc(c.device)}>${c.device}<//>`], ["Policy", c.policy && html`<${Link} to=${"/policies/" + enc(c.policy)}>${c.policy}<//>`],
      ["Came by", c.challenge ? "challenge " + c.challenge : c.renews ? html`renewal of <${Link} to=${"/certificates/" + enc(c.renews)}><${Mono} text=${c.renews} short=${12} /><//>` : ""],
      ["Renewed by", c.renewed_by && html`<${Link} to=${"/certificates/" + enc(c.renewed_by)}><${Mono} text=${c.renewed_by} short=${12} /><//>`],
      ["Transaction", c.transaction && html`<${Link} to="/explain" query=${{ what: c.transaction }}><${Mono} text=${c.transaction} /><//>`],
      ["SHA-256", c.sha256 && html`<${Mono} text=${c.sha256} />`], ["SHA-1 (thumbprint)", c.sha1 && html`<${Mono} text=${c.sha1} />`]]} />
    <p><${Link} to="/explain" query=${{ what: c.serial }}>What happened with this certificate<//></p>`}<//>
    ${dialog === "revoke" && html`<${Revoke} certificate=${c} etag=${c.etag || live.etag} onClose=${() => { set(""); live.reload(); }} />`}
    ${dialog === "release" && html`<${Confirm} title="Release from hold" verb="Release" onClose=${() => { set(""); live.reload(); }}
      action=${() => call("POST", `/certificates/${enc(id)}/release`, {}, { etag: c.etag || live.etag })}><p><strong>${c.subject}</strong> is good again: OCSP says so at once, the revocation list within seconds.</p><//>`}<//>`;
}

/** @param {string} code */
const reasonText = (code) => (REASONS.find(([c]) => c === code) || [0, code || "no reason told"])[1];

function Revoke({ certificate: c, etag, onClose }) {
  const [reason, setReason] = useState("unspecified"), [note, setNote] = useState("");
  return html`<${Confirm} title="Revoke this certificate" verb="Revoke" onClose=${onClose} done="Revoked"
      action=${() => call("POST", `/certificates/${enc(c.serial)}/revoke`, { reason, ...(note.trim() ? { note: note.trim() } : {}) }, { etag })}>
    <p><strong>${c.subject}</strong>, serial <${Mono} text=${c.serial} short=${16} />, valid until <${Time} at=${c.not_after} />.</p>
    <p>From now on OCSP and the revocation list name it, and it cannot be renewed. ${reason === "hold" ? "A hold can be released." : "This cannot be undone."}</p>
    <${Choice} label="Reason" value=${reason} onText=${setReason} choices=${REASONS} /><${Text} label="Note" value=${note} onText=${setNote} maxlength="200" help="For the audit log." /><//>`;
}

// ---- challenges ----

export function Challenges({ at, can }) {
  const q = at.query, query = { state: q.state, device: q.device };
  const [dialog, set] = useState((q.new ? "new" : null));
  return html`<${Page} title="Challenges" actions=${can("operator") && html`<button type="button" class="main" onClick=${() => set("new")}>New challenge</button>`}>
    <div class="filters"><${FilterChips} label="State" name="state" path="/challenges" query=${query} choices=${[["", "All"], ["active", "Active"], ["used", "Used"], ["expired", "Expired"], ["revoked", "Revoked"]]} /></div>
    <${List} path="/challenges" query=${query} caption="Challenges" empty=${html`<${Empty} title="No challenge like that."><p>A challenge is a password that a device sends with its request.</p>
        <p>It is used once, ends by itself, and may be bound to one device.</p><//>`} columns=${[
      { head: "Challenge", cell: (c) => html`<${Link} to="/explain" query=${{ what: c.id }}>${c.id}<//>` }, { head: "State", cell: (c) => html`<${Chip} state=${c.state} />` },
      { head: "Used", cell: (c) => c.used }, { head: "Bound to", cell: (c) => bound(c) || html`<span class="muted">nothing</span>` }, { head: "Label", cell: (c) => c.label },
      { head: "Made by", cell: (c) => c.created_by }, { head: "Expires", cell: (c) => html`<${Time} at=${c.expires_at} />` },
      { head: "", cell: (c) => c.state === "active" && can("operator") && html`<button type="button" onClick=${() => set(c)}>Revoke<span class="hidden"> ${c.id}</span>…</button>` }]} />
    ${dialog === "new" && html`<${NewChallenge} onClose=${() => set(null)} onMade=${(c) => set({ made: c })} />`}
    ${dialog && dialog.made && html`<${Made} challenge=${dialog.made} onClose=${() => set(null)} />`}
    ${dialog && dialog.id && html`<${Confirm} title=${"Revoke " + dialog.id} verb="Revoke" onClose=${() => set(null)}
      action=${() => call("DELETE", "/challenges/" + enc(dialog.id), undefined, { etag: dialog.etag })}><p>Made by ${dialog.created_by}, good until <${Time} at=${dialog.expires_at} />.</p>
      <p>Who sends it from now on is refused. This cannot be undone.</p><//>`}<//>`;
}

const bound = (c) => [c.device, c.subject, c.san, c.template && "template " + c.template, c.endpoint && "endpoint " + c.endpoint].filter(Boolean).join(", ");

export function NewChallenge({ onClose, onMade }) {
  const ends = useLive("/endpoints"), templates = useLive("/templates");
  const [f, , on] = useForm(() => ({ label: "", endpoint: "", template: "", subject: "", uses: "1", hours: "1" }));
  const names = (live, key) => [["", "Any"], ...(live.data ? live.data.items.map((i) => [i[key], i[key]]) : [])];
  const action = async () => {
    /** @type {any} */
    const body = { expires_seconds: Math.round(Number(f.hours) * 3600), uses: Number(f.uses) };
    for (const k of ["label", "endpoint", "template", "subject"]) if (f[k].trim()) body[k] = f[k].trim();
    return (await call("POST", "/challenges", body)).data;
  };
  return html`<${FormDialog} title="New challenge" verb="Make the challenge" action=${action} onClose=${onClose} onDone=${onMade}>${(e) => html`
    <div class="two"><${Choice} label="Good for" ...${on(e, "hours")} choices=${[["1", "1 hour"], ["4", "4 hours"], ["24", "a day"], ["168", "a week"]]} />
      <${Text} label="Uses" type="number" min="1" max="1000" ...${on(e, "uses")} /></div>
    <${Text} label="Subject it is bound to" ...${on(e, "subject")} help="As CN=ipad-0113; empty: any that the template allows." />
    <div class="two"><${Choice} label="Endpoint" ...${on(e, "endpoint")} choices=${names(ends, "path")} />
      <${Choice} label="Template" ...${on(e, "template")} choices=${names(templates, "name")} /></div>
    <${Text} label="Label" ...${on(e, "label")} help="For you: it stands in lists and in the certificate's history." />`}<//>`;
}

/** The one time that a challenge is seen. */
export function Made({ challenge: c, onClose }) {
  const [secret] = useState(c.secret);
  return html`<${Dialog} title="The challenge" onClose=${onClose}><p>It is shown this once; scepd keeps a hash of it.</p><p class="secret"><${Mono} text=${secret} /></p>
    ${(c.warnings || []).map((/** @type {string} */ w) => html`<p class="note warn" role="alert">${w}</p>`)}
    <p><${Copy} text=${secret} label="Copy the challenge" /></p>
    <${Facts} rows=${[["Id", c.id], ["Good until", html`<${Time} at=${c.expires_at} />`], ["Bound to", c.device_name || bound(c)], ["SCEP URL", c.url && html`<${Mono} text=${c.url} />`]]} />
    <div class="buttons"><button type="button" class="main" onClick=${onClose}>Done</button></div><//>`;
}

// ---- authority ----

export function Authority({ can }) {
  const live = useLive("/authorities");
  const ends = useLive("/endpoints"), templates = useLive("/templates");
  return html`<${Page} title="Authority"><${Live} live=${live}>${(d) => d.items.map((a) => html`<${One} key=${a.id || a.name || a.authority} a=${a} can=${can} />`)}<//>
    <${Section} title="Endpoints"><${Live} live=${ends}>${(d) => html`<${Table} caption="Endpoints" idOf=${(e) => e.path || e.name} rows=${d.items} columns=${[
      { head: "Path", cell: (e) => html`<${Mono} text=${e.path || e.name} />` }, { head: "URL", cell: (e) => html`<${Mono} text=${e.url || ""} />` },
      { head: "Authority", cell: (e) => e.authority }, { head: "Template", cell: (e) => e.template }, { head: "Lets in by", cell: (e) => [].concat(e.challenges || []).concat(e.manual ? "approval" : []).join(", ") }]} />`}<//><//>
    <${Section} title="Templates"><${Live} live=${templates}>${(d) => html`<${Table} caption="Templates" idOf=${(t) => t.name} rows=${d.items} columns=${[
      { head: "Name", cell: (t) => t.name }, { head: "Valid for", cell: (t) => (t.valid_seconds ? span(t.valid_seconds) : "") },
      { head: "Key usage", cell: (t) => t.key_usage }, { head: "Purposes", cell: (t) => t.ext_key_usage },
      { head: "Subject", cell: (t) => t.subject_build || (t.subject || []).join(", ") }]} />`}<//><//><//>`;
}

function One({ a, can }) {
  const name = a.name;
  const publish = useAction(async () => { await call("POST", `/authorities/${enc(name)}/crl/publish`, {}); announce("The revocation list is published"); });
  const chain = useAction(async () => {
    const r = await call("GET", `/authorities/${enc(name)}/chain`, undefined, { accept: "application/x-pem-file" });
    saveFile(r.data, fileName(r.response, name + ".pem"));
  });
  const day = (at) => at && html`<${Time} at=${at} />`, mono = (text) => text && html`<${Mono} text=${text} />`;
  return html`<${Section} title=${name} actions=${html`<button type="button" onClick=${() => chain.run()}>Certificates (PEM)</button>${
      can("administrator") && html`<button type="button" disabled=${publish.busy} onClick=${() => publish.run()}>Publish the revocation list now</button>`}`}>
    <${Trouble} error=${publish.error || chain.error} />
    ${a.next_step && html`<p class=${"note " + (a.next_step_by_hand ? "warn" : "off")}><${Icon} name=${a.next_step_by_hand ? "triangle" : "hourglass"} />Next: ${a.next_step}, ${day(a.next_step_at)}${
      a.next_step_by_hand ? ": nobody but you will do it (scepctl ca rollover)." : ", by itself."}</p>`}
    ${a.generations.map((g) => html`<h3>Generation ${g.generation} <${Chip} state=${g.role} /></h3>
    <${Facts} rows=${[["Subject", g.subject], ["Key", g.key], ["Valid until", day(g.not_after)], ["Takes over", day(g.takes_over)], ["RA until", day(g.ra_not_after)], ["Signing RA until", day(g.ra_signing_not_after)],
      ["Decrypting RA until", day(g.ra_encryption_not_after)], ["OCSP responder until", day(g.ocsp_not_after)], ["No OCSP responder", g.ocsp_fault],
      ["Revocation list", g.crl_number !== null && `number ${g.crl_number}, ${g.crl_entries} entries`], ["Good until", day(g.crl_next_update)], ["Its address", mono(g.crl_url)], ["OCSP", mono(g.ocsp_url)]]} />
    <p>Fingerprints, as each kind of device asks for them:</p>
    <${Facts} rows=${[["Android, strongSwan: SHA-256", mono(g.sha256)], ["Windows, Apple: SHA-1", mono(g.sha1)], ["Cisco IOS: MD5", mono(g.md5)], ["RA: SHA-256", mono(g.ra_sha256)]]} />`)}<//>`;
}
