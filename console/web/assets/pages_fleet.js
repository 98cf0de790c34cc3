// @ts-check
// Which device is to have which certificate: devices, groups, policies, and the profiles made from them.
import { html, useState, useEffect, useRef } from "./vendor.js";
import { CHANGED, call, useLive, useAction, href, go, enc, span } from "./api.js";
import { Page, Facts, Section, List, Live, Table, Time, Chip, Link, Mono, Icon, Empty, Confirm, FormDialog, Dialog, Text, Choice, Tick, Trouble, FilterChips, useForm,
  FilterText, outcome, faultOf, saveFile, fileName, announce } from "./ui.js";
import { certColumns, Made } from "./pages_ca.js";
import { EventList } from "./pages_why.js";

const PLATFORMS = /** @type {[string, string][]} */ ([["", "Not told"], ["apple", "Apple"], ["windows", "Windows"], ["android", "Android"], ["chromeos", "ChromeOS"],
  ["network", "Network gear"], ["linux", "Linux"], ["other", "Other"]]);
const platformText = (p) => (PLATFORMS.find(([v]) => v === p) || [0, p])[1];

// The members of a device that an administrator says.
const DEVICE = /** @type {[string, string, string?][]} */ ([["name", "Name", "As people call it; unique."], ["serial_number", "Serial number"], ["udid", "UDID"],
  ["user", "User", "Login or UPN."], ["email", "E-mail"], ["host", "Host name", "Fully qualified."]]);

// ---- devices ----

export function Devices({ at, can, overview }) {
  const q = at.query, query = { state: q.state, platform: q.platform, group: q.group, policy: q.policy, q: q.q };
  const n = (overview.data && overview.data.devices) || {};
  const all = ["active", "isolated", "retired"].reduce((sum, s) => sum + (n[s] || 0), 0);
  const [dialog, set] = useState((q.new ? "new" : null)), [job, setJob] = useState("");
  return html`<${Page} title="Devices" actions=${can("administrator") && html`<button type="button" class="main" onClick=${() => set("new")}>New device</button>`}>
    <div class="filters"><${FilterChips} label="State" name="state" path="/devices" query=${query} choices=${[["", "All", overview.data && all],
      ...["active", "isolated", "retired"].map((s) => [s, s[0].toUpperCase() + s.slice(1), n[s]])]} />
      <${FilterText} label="Search" path="/devices" query=${query} />
      <label>Platform <select value=${q.platform || ""} onChange=${(e) => go("/devices", { ...query, platform: e.target.value, cursor: "" }, true)}>
        ${[["", "Any"], ...PLATFORMS.slice(1)].map(([v, t]) => html`<option value=${v} selected=${v === (q.platform || "")}>${t}</option>`)}</select></label></div>
    <${Job} mine=${job} may=${can("administrator")} /><${List} path="/devices" query=${query} caption="Devices" bulk=${can("administrator") && ((clear, rows, more) => [rows, ...(more ? [null] : [])].map((rows) =>
        Object.keys(VERBS).map((bulk) => html`<button type="button" onClick=${() => set({ bulk, rows, clear })}>${VERBS[bulk]} ${rows ? rows.length : "all that match"}…</button>`)))} empty=${html`<${Empty} title=${
        Object.values(query).some(Boolean) ? "No device like that." : "No device yet."}><p>Devices come in three ways:</p><ol><li>one by one, with New device;</li>
        <li>from a table: <code>scepctl device import devices.csv</code>;</li><li>by your MDM product, through the REST API or the NDES page.</li></ol><//>`} columns=${[
      { head: "Name", cell: (d) => html`<${Link} to=${"/devices/" + enc(d.id)}>${d.name}<//>` }, { head: "State", cell: (d) => html`<${Chip} state=${d.state} />` },
      { head: "Platform", cell: (d) => platformText(d.platform) }, { head: "User", cell: (d) => d.user }, { head: "Serial number", cell: (d) => d.serial_number },
      { head: "Thumbprint", cell: (d) => d.certificate && html`<${Mono} text=${d.certificate.sha256} short=${12} />` },
      { head: "Expires", cell: (d) => d.certificate ? d.certificate.state === "active" ? html`<${Time} at=${d.certificate.not_after} />` : html`<${Chip} state=${d.certificate.state} />` : "no certificate" },
      { head: "Last seen", cell: (d) => html`<${Time} at=${d.seen_at} />` }]} />
    ${dialog === "new" && html`<${DeviceForm} onClose=${() => set(null)} onDone=${(d) => go("/devices/" + enc(d.id))} />`}
    ${dialog && dialog.bulk && html`<${Many} ...${dialog} query=${query} onJob=${setJob} onClose=${() => set(null)} />`}<//>`;
}

const VERBS = { isolate: "Isolate", retire: "Retire" };

/** One thing done to many, as a job of the server: to those that were picked or, without `rows`, to all that the filter finds. */
function Many({ bulk, rows, query, clear, onJob, onClose }) {
  const [about, setAbout] = useState({ matched: 0, sample: [], warnings: [] });
  const which = rows ? { ids: rows.map((r) => r.id) } : { filter: Object.fromEntries(Object.entries(query).map(([k, v]) => [k, (v || "").trim() || null])) };
  const ask = (more) => call("POST", "/bulk", { action: bulk, ...which, ...more }).then((r) => r.data);
  const look = useAction(async () => setAbout(await ask({ dry_run: true })));
  useEffect(() => { look.run(); }, []);
  const ended = useRef(false);
  const n = String(about.matched || "…"), verb = VERBS[bulk] + " " + n, shown = about.sample.slice(0, 8);
  const action = async () => {
    let { job } = await ask({ expect: about.matched }).catch((e) => {
      look.run(); // there are other ones by now
      throw e;
    });
    onJob(job.id);
    clear();
    for (let i = 0; i < 20 && job.state === "running"; i++) { // a small one is waited for
      await new Promise((go) => setTimeout(go, 150));
      job = await call("GET", "/jobs/" + job.id).then((r) => r.data, () => job); // it runs, whether it can be seen or not
    }
    window.dispatchEvent(new Event(CHANGED));
    ended.current = job.state === "done";
    return true;
  };
  return html`<${Confirm} title=${verb + " devices"} verb=${verb} ready=${about.matched > 0} expect=${rows && bulk === "isolate" ? undefined : n} action=${action} done=${() => verb + (ended.current ? ": done" : ": started")} onClose=${onClose}>
    <${Trouble} error=${look.error} /><p>${shown.join(", ")}${about.matched > shown.length && ` and ${about.matched - shown.length} more`}.</p>${outcome(about)}
    <p>${bulk === "retire" ? "Their certificates are revoked, their requests cancelled, their challenges void. This cannot be undone." : "They may renew what they have and enrol nothing new, until they are released."}</p><//>`;
}

/** The newest job, while it is not done; one's own then as well. */
function Job({ mine, may }) {
  const live = useLive("/jobs?limit=1"), j = live.data && live.data.items[0], what = j && { running: "stop", stopped: "resume" }[j.state];
  const turn = useAction(() => call("POST", `/jobs/${enc(j.id)}/${what}`, {}, { etag: j.etag }));
  return j && (what || j.id === mine) && html`<div class=${j.failed ? "note warn" : "note"}><${Trouble} error=${turn.error} /><div class="row"><span role="status">${
      VERBS[j.action] || j.action}: ${j.done} of ${j.total} done${j.failed > 0 && `, ${j.failed} of them could not be: ${j.failure}`}</span>
    ${may && what && html`<button type="button" disabled=${turn.busy} onClick=${turn.run}>${what === "stop" ? "Stop" : "Go on"}</button>`}</div></div>`;
}

// What is edited is what was seen when the form opened: the page behind it goes on asking, and what another changed meanwhile is theirs.
function DeviceForm({ device, onClose, onDone }) {
  const [was] = useState(device);
  const [f, , on] = useForm(() => ({ platform: "", ...was }));
  const action = async () => {
    const body = Object.fromEntries([...DEVICE.map(([k]) => [k, String(f[k] || "").trim()]), ["platform", f.platform]].filter(([k, v]) =>
      (was ? v !== (was[k] || "") : v)));
    return was ? (await call("PATCH", "/devices/" + enc(was.id), body, { etag: was.etag })).data || true : (await call("POST", "/devices", body)).data;
  };
  return html`<${FormDialog} title=${was ? "Edit " + was.name : "New device"} verb=${was ? "Save" : "Make the device"} action=${action} onClose=${onClose} onDone=${onDone}>${(e) => html`
    <div class="two">${DEVICE.map(([k, label, help]) => html`<${Text} label=${label} help=${help} ...${on(e, k)} required=${k === "name"} />`)}
    <${Choice} label="Platform" ...${on(e, "platform")} choices=${PLATFORMS} /></div>`}<//>`;
}

export function Device({ id, can }) {
  const live = useLive("/devices/" + enc(id)), policies = useLive(`/devices/${enc(id)}/policies`), events = useLive(`/devices/${enc(id)}/events?limit=20`);
  const [dialog, set] = useState((null));
  const d = live.data, may = can("administrator") && d && d.state !== "retired";
  const close = () => { set(null); };
  const post = (verb) => () => call("POST", `/devices/${enc(d.id)}/${verb}`, {}, { etag: d.etag || live.etag });
  const last = events.data && events.data.items.find((e) => e.result);
  const refused = last && /^(refused|failed|counted)$/.test(last.result) ? last : null;
  const mine = policies.data ? policies.data.items : [];
  return html`<${Page} title=${d ? d.name : "Device"} up=${[["/devices", "Devices"]]} word=${d && html`<${Chip} state=${d.state} />`} actions=${html`
      ${can("operator") && d && d.state === "active" && mine.length > 0 && html`<button type="button" class="main" onClick=${() => set("profile")}>New profile</button>
        <button type="button" onClick=${() => set("challenge")}>New challenge</button>`}
      ${may && html`<button type="button" onClick=${() => set("edit")}>Edit</button>`}
      ${may && d.state === "active" && html`<button type="button" onClick=${() => set("isolate")}>Isolate…</button>`}
      ${may && d.state === "isolated" && html`<button type="button" onClick=${() => set("release")}>Release…</button>`}
      ${may && html`<button type="button" class="danger" onClick=${() => set("retire")}>Retire…</button>`}`}>
    <${Live} live=${live}>${() => html`
    ${refused && html`<div class="note bad"><div class="row"><span><${Icon} name="cross" />Last request refused <${Time} at=${refused.at} />: ${refused.reason_text || refused.reason}${refused.detail && html`: ${refused.detail}`}</span>
      <${Link} to="/explain" query=${{ what: refused.transaction || refused.subject || refused.reason }} class="button">Explain<//></div></div>`}
    <${Facts} rows=${[["Platform", platformText(d.platform)], ...DEVICE.slice(1).map(([k, l]) => /** @type {[string, any]} */ ([l, d[k]])), ["Groups", (d.groups || []).map((g) => g.name).join(", ")],
      ["Made", html`<${Time} at=${d.created_at} /> by ${d.created_by}`], ["Last seen", html`<${Time} at=${d.seen_at} />`], ["Id", html`<${Mono} text=${d.id} />`]]} />`}<//>
    <${Section} title="Policies"><${Live} live=${policies}>${(p) => (p.items.length === 0 ? html`<${Empty} title="It has no policy."><p>Assign one to it on the page of a <${Link} to="/policies">policy<//>; then its
      profile can be made here.</p><//>` : html`<${Table} caption="Policies of this device" rows=${p.items} columns=${[{ head: "Policy", cell: (x) => html`<${Link} to=${"/policies/" + enc(x.id)}>${x.name}<//>` },
      { head: "Endpoint", cell: (x) => x.endpoint }, { head: "Would get", cell: (x) => (x.problem ? html`<span class="wrong">${x.problem}</span>` : [x.subject, x.san].filter(Boolean).join(", ")) }, { head: "By", cell: (x) => x.group_name || x.by }, { head: "State", cell: (x) => html`<${Chip} state=${x.paused ? "paused" : "active"} />` }]} />`)}<//><//>
    <${Section} title="Certificates"><${List} path=${`/devices/${enc(id)}/certificates`} caption="Certificates of this device" idOf=${(c) => c.serial} columns=${certColumns}
      empty=${html`<${Empty} title="Known, never asked."><ol><li>Has it a policy?</li><li>Was its profile installed?</li><li>Does it reach the SCEP URL? <code>scepctl probe</code> tells.</li></ol><//>`} /><//>
    <${Section} title="Action history"><${EventList} live=${events} /><p><${Link} to="/activity" query=${{ device: id }}>All of it<//></p><//>
    ${dialog === "edit" && html`<${DeviceForm} device=${{ ...d, etag: d.etag || live.etag }} onClose=${close} onDone=${close} />`}
    ${dialog === "isolate" && html`<${Confirm} title=${"Isolate " + d.name} verb="Isolate" action=${post("isolate")} onClose=${close}><p>It may renew what it has and enrols nothing new, from now on. Release undoes it.</p><//>`}
    ${dialog === "release" && html`<${Confirm} title=${"Release " + d.name} verb="Release" action=${post("release")} onClose=${close}><p>It may enrol again, from now on.</p><//>`}
    ${dialog === "retire" && html`<${Confirm} title=${"Retire " + d.name} verb="Retire" action=${post("retire")} onClose=${close}>
      <p>Its certificates are revoked, its pending requests cancelled, its open challenges void, at once.</p><p>This cannot be undone.</p><//>`}
    ${dialog === "profile" && html`<${ProfileForm} device=${d} policies=${mine} onClose=${close} />`}
    ${dialog === "challenge" && html`<${DeviceChallenge} device=${d} policies=${mine} onClose=${close} onMade=${(c) => set({ made: c })} />`}
    ${dialog && dialog.made && html`<${Made} challenge=${dialog.made} onClose=${close} />`}<//>`;
}

function DeviceChallenge({ device, policies, onClose, onMade }) {
  const [policy, setPolicy] = useState(policies[0].id);
  return html`<${FormDialog} title=${"New challenge for " + device.name} verb="Make the challenge" onClose=${onClose} onDone=${onMade}
      action=${async () => ({ device_name: device.name, ...(await call("POST", `/devices/${enc(device.id)}/challenges`, { policy })).data })}>${() => html`
    <p>One use, bound to this device, the policy and the names that the policy gives.</p>
    <${Choice} label="Policy" value=${policy} onText=${setPolicy} choices=${policies.map((p) => [p.id, p.name])} />`}<//>`;
}

const PROFILES = /** @type {[string, string][]} */ ([["apple", "Apple (.mobileconfig)"], ["windows", "Windows (SCEP CSP)"], ["android", "Android (JSON)"], ["chromeos", "ChromeOS (JSON)"],
  ["cisco", "Cisco IOS"], ["strongswan", "strongSwan"], ["certmonger", "certmonger"]]);

/** The file that a device installs, with a challenge bound to it. */
function ProfileForm({ device, policies, onClose }) {
  const [policy, setPolicy] = useState(policies[0].id), [warning, setWarning] = useState("");
  const [kind, setKind] = useState({ apple: "apple", windows: "windows", android: "android", chromeos: "chromeos", network: "cisco", linux: "strongswan" }[(device.platform)] || "apple");
  const action = async () => {
    const r = await call("POST", "/profiles", { policy, device: device.id, platform: kind }, { accept: "*/*" });
    saveFile(r.data, fileName(r.response, device.name + "-" + kind));
    const warning = r.response.headers.get("X-Warning") || "";
    setWarning(warning);
    return warning ? { warning } : true;
  };
  return html`<${FormDialog} title=${"New profile for " + device.name} verb="Download the profile" action=${action} onClose=${onClose} onDone=${(r) => { if (!r.warning) onClose(); }}>${(e) => html`
    ${warning && html`<p class="note warn" role="status"><${Icon} name="triangle" />The file was made. ${warning}</p>`}
    <p>The file holds a fresh challenge, bound to this device and policy, good for one use. Who has the file can enrol: hand it to the device and to nobody else.</p>
    <${Choice} label="Policy" value=${policy} onText=${setPolicy} choices=${policies.map((p) => [p.id, p.name])} error=${faultOf(e, "policy")} />
    <${Choice} label="For" value=${kind} onText=${setKind} choices=${PROFILES} error=${faultOf(e, "platform")} />`}<//>`;
}

// ---- policies and groups ----

// To start from: what fleets usually want.
const SAMPLES = /** @type {[string, any][]} */ ([
  ["Wi-Fi or VPN, one certificate per device", { name: "device", subject: "CN=%devicename%", san: "", key_type: "rsa", key_size: 2048 }],
  ["Wi-Fi or mail, one per user's device", { name: "user", subject: "CN=%user%", san: "email:%email%", key_type: "rsa", key_size: 2048 }],
  ["Windows machine, by its host name", { name: "windows-machine", subject: "CN=%host%", san: "DNS:%host%", key_type: "rsa", key_size: 2048 }],
  ["Network gear, IPsec", { name: "network", subject: "CN=%host%", san: "DNS:%host%", key_type: "rsa", key_size: 3072 }],
  ["Apple device by serial number, elliptic curve", { name: "apple-ec", subject: "CN=%serialnumber%", san: "", key_type: "ec", key_size: 256 }],
]);

export function Policies({ at, can }) {
  const q = at.query;
  const [dialog, set] = useState((null));
  const samples = html`<ul>${SAMPLES.map(([text, sample]) => html`<li>${can("administrator") ? html`<button type="button" class="plain" onClick=${() => set({ sample })}>${text}</button>` : text}</li>`)}</ul>`;
  return html`<${Page} title="Policies" actions=${can("administrator") && html`<button type="button" class="main" onClick=${() => set({ sample: SAMPLES[0][1] })}>New policy</button>
      <button type="button" onClick=${() => set("group")}>New group</button>`}>
    <p>A policy says which names and keys devices get, and at which endpoint; it is assigned to devices and groups.</p>
    <${List} path="/policies" query=${{ q: q.q }} caption="Policies" empty=${html`<${Empty} title="No policy yet. Start from one of these:">${samples}<//>`} columns=${[
      { head: "Name", cell: (p) => html`<${Link} to=${"/policies/" + enc(p.id)}>${p.name}<//>` }, { head: "State", cell: (p) => html`<${Chip} state=${p.paused ? "paused" : "active"} />` },
      { head: "Endpoint", cell: (p) => p.endpoint }, { head: "Subject", cell: (p) => p.subject }, { head: "Key", cell: (p) => `${(p.key_type || "").toUpperCase()} ${p.key_size || ""}` },
      { head: "Challenge", cell: (p) => p.challenge }, { head: "Changed", cell: (p) => html`<${Time} at=${p.changed_at} />` }]} />
    <${Section} title="Groups"><${List} path="/groups" cursorName="groups" caption="Groups" empty=${html`<${Empty} title="No group yet."><p>A group holds devices, or users whose devices count; a policy can be assigned to it.</p><//>`} columns=${[
      { head: "Name", cell: (g) => html`<${Link} to=${"/groups/" + enc(g.id)}>${g.name}<//>` }, { head: "Of", cell: (g) => (g.users ? "users" : "devices") }, { head: "Note", cell: (g) => g.note }]} /><//>
    ${dialog && dialog.sample && html`<${PolicyForm} sample=${dialog.sample} onClose=${() => set(null)} onDone=${(p) => go("/policies/" + enc(p.id))} />`}
    ${dialog === "group" && html`<${GroupForm} onClose=${() => set(null)} onDone=${(g) => go("/groups/" + enc(g.id))} />`}<//>`;
}

function GroupForm({ onClose, onDone }) {
  const [f, put, on] = useForm(() => ({ name: "", users: false }));
  return html`<${FormDialog} title="New group" verb="Make the group" onClose=${onClose} onDone=${onDone} action=${async () => (await call("POST", "/groups", { ...f, name: f.name.trim() })).data}>${(e) => html`
    <${Text} label="Name" ...${on(e, "name")} required /><${Tick} label="Its members are users, whose devices count" value=${f.users} onTick=${put("users")} />
    <${Text} label="Note" ...${on(e, "note")} />`}<//>`;
}

function PolicyForm({ policy, sample, onClose, onDone }) {
  const ends = useLive("/endpoints"), [was] = useState(policy);
  const [f, put, on] = useForm(() => ({ name: "", endpoint: "", subject: "", san: "", challenge: "one-time", challenge_ttl_seconds: 3600, key_type: "rsa", key_size: 2048, revoke_on_removal: true, ...(was || sample) }));
  const paths = ends.data ? ends.data.items.map((e) => e.path || e.name) : [];
  useEffect(() => { if (!f.endpoint && paths.length) put("endpoint")(paths[0]); }, [paths.join()]);
  const sizes = f.key_type === "ec" ? ["256", "384"] : ["2048", "3072", "4096", ...(was?.key_size === 1024 ? ["1024"] : [])];
  const size = sizes.includes(String(f.key_size)) ? String(f.key_size) : sizes[0];
  const action = async () => {
    /** @type {any} */
    const body = { name: f.name.trim(), endpoint: f.endpoint, subject: f.subject.trim(), san: (f.san || "").trim(), challenge: f.challenge, challenge_ttl_seconds: Number(f.challenge_ttl_seconds),
      key_type: f.key_type, key_size: Number(size), revoke_on_removal: !!f.revoke_on_removal };
    if (!was) return (await call("POST", "/policies", body)).data;
    for (const k of Object.keys(body)) if (body[k] === (was[k] ?? "")) delete body[k];
    return (await call("PATCH", "/policies/" + enc(was.id), body, { etag: was.etag })).data || true;
  };
  return html`<${FormDialog} title=${was ? "Edit " + was.name : "New policy"} verb=${was ? "Save" : "Make the policy"} action=${action} onClose=${onClose} onDone=${onDone}>${(e) => html`
    <${Text} label="Name" ...${on(e, "name")} required />
    <${Choice} label="Endpoint" ...${on(e, "endpoint")} choices=${paths.map((p) => [p, p])} help="It says which authority and template." />
    <${Text} label="Subject" ...${on(e, "subject")} help="Wildcards: %devicename% %serialnumber% %udid% %user% %email% %host% %group% %policy%" />
    <${Text} label="Alternative names" ...${on(e, "san")} help="As DNS:%host% or email:%email%, separated by commas." />
    <div class="two"><${Choice} label="Key" ...${on(e, "key_type")} choices=${[["rsa", "RSA"], ["ec", "Elliptic curve"]]} />
      <${Choice} label="Size" ...${on(e, "key_size")} value=${size} choices=${sizes.map((s) => [s, s])} />
      <${Choice} label="Challenge" ...${on(e, "challenge")} choices=${[["one-time", "One per profile"], ["static", "The endpoint's static one"], ["upstream", "From the upstream server"], ["none", "None: approval decides"]]} />
      <${Choice} label="Challenge good for" ...${on(e, "challenge_ttl_seconds")}
        choices=${[...new Set(["3600", "14400", "86400", "604800", String(f.challenge_ttl_seconds)])].map((s) => [s, span(Number(s))])} /></div>
    <${Tick} label="Revoke a device's certificates when it loses the policy" value=${!!f.revoke_on_removal} onTick=${put("revoke_on_removal")} />`}<//>`;
}

export function Policy({ id, can }) {
  const live = useLive("/policies/" + enc(id)), events = useLive(`/policies/${enc(id)}/events?limit=20`);
  const [dialog, set] = useState((null));
  const p = live.data, may = can("administrator") && p, close = () => set(null), etag = p && (p.etag || live.etag);
  const pause = useAction(async () => { await call("PATCH", "/policies/" + enc(id), { paused: !p.paused }, { etag }); announce(p.paused ? "Goes on" : "Paused"); });
  return html`<${Page} title=${p ? p.name : "Policy"} up=${[["/policies", "Policies"]]} word=${p && html`<${Chip} state=${p.paused ? "paused" : "active"} />`} actions=${may && html`
      <button type="button" class="main" onClick=${() => set("assign")}>Assign</button><button type="button" onClick=${() => set("edit")}>Edit</button>
      <button type="button" disabled=${pause.busy} onClick=${() => pause.run()}>${p.paused ? "Go on" : "Pause"}</button><button type="button" class="danger" onClick=${() => set("remove")}>Remove…</button>`}>
    <${Trouble} error=${pause.error} /><${Live} live=${live}>${() => html`
    <${Facts} rows=${[["Endpoint", p.endpoint], ["Subject", html`<${Mono} text=${p.subject} />`], ["Alternative names", p.san && html`<${Mono} text=${p.san} />`],
      ["Key", `${(p.key_type || "").toUpperCase()} ${p.key_size || ""}`], ["Challenge", p.challenge], ["Good for", p.challenge_ttl_seconds && span(p.challenge_ttl_seconds)],
      ["Key usage", p.key_usage.join(", ")], ["Extended usage", p.eku || "the template's"], ["Device asks again", p.retries && `${p.retries} times, every ${span(p.retry_delay_seconds)}`], ["Revokes on removal", p.revoke_on_removal ? "yes" : "no"],
      ["Changed", html`<${Time} at=${p.changed_at} /> by ${p.changed_by}`], ["Id", html`<${Mono} text=${p.id} />`]]} />`}<//>
    <${Section} title="Assigned to"><${List} path=${`/policies/${enc(id)}/assignments`} caption="Assigned to" empty=${html`<${Empty} title="To nobody yet."><p>Assign it to a device or a group; then profiles can be made.</p><//>`}
      columns=${[{ head: "Target", cell: (t) => html`<${Link} to=${(t.kind === "group" ? "/groups/" : "/devices/") + enc(t.id)}>${t.name}<//>` },
      { head: "Kind", cell: (t) => t.kind }, { head: "By", cell: (t) => t.by }, { head: "", cell: (t) => may && html`<button type="button" onClick=${() => set({ unassign: t })}>Unassign<span class="hidden"> ${t.name}</span>…</button>` }]} /><//>
    <${Check} id=${id} /><${Section} title="Action history"><${EventList} live=${events} /><//>
    ${dialog === "edit" && html`<${PolicyForm} policy=${{ ...p, etag }} onClose=${close} onDone=${close} />`}
    ${dialog === "assign" && html`<${Assign} policy=${p} etag=${etag} onClose=${close} />`}
    ${dialog === "remove" && html`<${Confirm} title=${"Remove the policy " + p.name} verb="Remove" expect=${p.name} expectWhat="name" onClose=${close} action=${async () => {
        await call("DELETE", "/policies/" + enc(id), undefined, { etag }); go("/policies"); return true; }}><${Loses} p=${p} what="All its devices" /><//>`}
    ${dialog && dialog.unassign && html`<${Confirm} title=${`Take ${p.name} from ${dialog.unassign.name}`} verb="Unassign" onClose=${close}
        action=${() => call("DELETE", `/policies/${enc(id)}/assignments/${enc(dialog.unassign.id)}`, undefined, { etag })}><${Loses} p=${p} what="Devices that have it by no other way" /><//>`}<//>`;
}

const Loses = ({ p, what }) => html`<p>${what} lose it at once: open challenges are void, pending requests cancelled, renewals refused${
  p.revoke_on_removal ? ", and their certificates are revoked. That cannot be undone." : ". Certificates stay until they expire."}</p>`;

function Assign({ policy, etag, onClose }) {
  const [word, setWord] = useState("");
  const q = word.trim() ? "&q=" + enc(word.trim()) : "", devices = useLive("/devices?state=active&limit=20" + q), groups = useLive("/groups?limit=10" + q);
  const put = useAction(async (target) => {
    await call("PUT", `/policies/${enc(policy.id)}/assignments/${enc(target)}`, {}, { etag });
    announce("Assigned");
    onClose();
  });
  const row = (x, kind) => html`<li><button type="button" disabled=${put.busy} onClick=${() => put.run(x.id)}>Assign<span class="hidden"> to ${x.name}</span></button><span>${x.name} <span class="muted">${kind}</span></span></li>`;
  return html`<${Dialog} title=${"Assign " + policy.name} onClose=${onClose}><${Trouble} error=${put.error} />
    <${Text} label="Device or group" value=${word} onText=${setWord} help="The beginning of its name." />
    <ul class="steps">${groups.data && groups.data.items.map((g) => row(g, "group"))}${devices.data && devices.data.items.map((d) => row(d, "device"))}</ul>
    ${devices.data && devices.data.items.length === 0 && groups.data && groups.data.items.length === 0 && html`<p class="muted">No device or group like that.</p>`}
    <div class="buttons"><button type="button" onClick=${onClose}>Cancel</button></div><//>`;
}

/** What a device would get, and whether a request fits. */
function Check({ id }) {
  const [device, setDevice] = useState(""), [csr, setCsr] = useState(""), [answer, setAnswer] = useState((null));
  const ask = useAction(async () => setAnswer((await call("POST", `/policies/${enc(id)}/check`, { device: device.trim(), ...(csr.trim() ? { csr: csr.trim() } : {}) }, { once: false })).data));
  const findings = answer ? answer.findings : [];
  return html`<${Section} title="Try it"><form onSubmit=${(e) => { e.preventDefault(); ask.run(); }}><${Trouble} error=${ask.error} />
      <div class="two"><${Text} label="Device" value=${device} onText=${setDevice} help="Its name or id: what would it get?" error=${faultOf(ask.error, "device")} />
      <${Text} label="Request (PEM)" lines=${3} value=${csr} onText=${setCsr} help="A CSR, if you have one: does it fit? Nothing is issued." error=${faultOf(ask.error, "csr")} /></div>
      <button type="submit" disabled=${!device.trim() || ask.busy}>Check</button></form>
    <div role="status">${answer && html`<p><${Chip} state=${answer.ok ? "passed" : "stopped"} text=${answer.ok ? "All fits" : "Does not fit"} /></p>
      <${Facts} rows=${[["Subject", answer.subject], ["Names", answer.san]]} />
      <ul class="steps">${findings.map((c) => html`<li><${Chip} state=${c.ok ? "passed" : "stopped"} text=${c.what} /><span>${c.text}</span></li>`)}</ul>`}</div><//>`;
}

export function Group({ id, can }) {
  const live = useLive("/groups/" + enc(id));
  const [dialog, set] = useState((null)), [word, setWord] = useState("");
  const g = live.data, may = can("administrator") && g, etag = g && (g.etag || live.etag), close = () => set(null);
  const add = useAction(async () => { await call("PUT", `/groups/${enc(id)}/members/${enc(word.trim())}`, {}, { etag }); setWord(""); announce("Added"); });
  return html`<${Page} title=${g ? g.name : "Group"} up=${[["/policies", "Policies"]]} actions=${may && html`<button type="button" class="danger" onClick=${() => set("remove")}>Remove…</button>`}><${Live} live=${live}>${() => html`
    <${Facts} rows=${[["Its members are", g.users ? "users, whose devices count" : "devices"], ["Note", g.note], ["Made", html`<${Time} at=${g.created_at} />`], ["Id", html`<${Mono} text=${g.id} />`]]} />
    <${Section} title="Members">${may && html`<form class="filters" onSubmit=${(e) => { e.preventDefault(); if (word.trim()) add.run(); }}>
        <${Text} label=${g.users ? "User" : "Device"} value=${word} onText=${setWord} /><button type="submit" disabled=${add.busy || !word.trim()}>Add</button></form><${Trouble} error=${add.error} />`}
      <${List} path=${`/groups/${enc(id)}/members`} caption="Members" empty=${html`<p class="muted">None yet.</p>`} columns=${[
        { head: "Name", cell: (m) => (g.users ? html`<a href=${href("/devices", { q: m.name })}>${m.name}</a>` : html`<${Link} to=${"/devices/" + enc(m.id)}>${m.name}<//>`) },
        { head: "", cell: (m) => may && html`<button type="button" onClick=${() => set({ member: m })}>Take out<span class="hidden"> ${m.name}</span>…</button>` }]} />
      <p><a href=${href("/devices", { group: g.id })}>Devices of this group</a></p><//>`}<//>
    ${dialog === "remove" && html`<${Confirm} title=${"Remove the group " + g.name} verb="Remove" expect=${g.name} expectWhat="name" onClose=${close} action=${async () => {
        await call("DELETE", "/groups/" + enc(id), undefined, { etag }); go("/policies"); return true; }}><p>Devices that had a policy by this group alone lose it at once.</p><//>`}
    ${dialog && dialog.member && html`<${Confirm} title=${`Take ${dialog.member.name} out of ${g.name}`} verb="Take out" onClose=${close}
        action=${() => call("DELETE", `/groups/${enc(id)}/members/${enc(dialog.member.id)}`, undefined, { etag })}><p>What it had by this group alone it loses at once.</p><//>`}<//>`;
}
