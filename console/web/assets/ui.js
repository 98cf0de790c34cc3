// @ts-check
// What the pages are made of.  All text goes in as text: nothing here or elsewhere takes HTML.
import { html, useState, useEffect, useLayoutEffect, useRef, useId } from "./vendor.js";
import { CHANGED, listen, useLive, useAction, href, go, route, queryText, clock, distance, span } from "./api.js";

// ---- small things ----

const PATHS = /** @type {Record<string, string>} */ ({
  tick: "m3 8 3.500 3.500L13 5", cross: "m4 4 8 8m0-8-8 8", bar: "M3 8h10", ring: "M8 3a5 5 0 1 0 .01 0z",
  hourglass: "M4 2h8M4 14h8M5 2c0 4 6 8 6 12M11 2c0 4-6 8-6 12", triangle: "M8 2 1.500 13.500h13zM8 6v4m0 1.500v.5",
  dot: "M8 6a2 2 0 1 0 .01 0z", menu: "M2 4h12M2 8h12M2 12h12",
});

/** A picture beside a word, never in its stead. @param {{name: string}} p */
export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

// A state: its colours, its picture, its word.
const STATES = /** @type {Record<string, [string, string, string]>} */ ({
  active: ["good", "tick", "Active"], issued: ["good", "tick", "Issued"], renewed: ["good", "tick", "Renewed"], repeated: ["good", "tick", "Repeated"],
  pass: ["good", "tick", "Ok"], approved: ["good", "tick", "Approved"],
  current: ["good", "tick", "Current"], passed: ["good", "tick", "Passed"],
  pending: ["wait", "hourglass", "Pending"], next: ["wait", "hourglass", "Next"], expiring: ["warn", "triangle", "Expiring"],
  warn: ["warn", "triangle", "Attention"], held: ["warn", "triangle", "On hold"],
  paused: ["warn", "triangle", "Paused"], failed: ["bad", "cross", "Failed"], counted: ["bad", "cross", "Refused, many"],
  revoked: ["bad", "cross", "Revoked"], refused: ["bad", "cross", "Refused"], denied: ["bad", "cross", "Denied"], fail: ["bad", "cross", "Failing"],
  stopped: ["bad", "cross", "Stopped here"], "passed over": ["off", "dot", "Passed over"], isolated: ["bad", "bar", "Isolated"], expired: ["off", "ring", "Expired"],
  retired: ["off", "ring", "Retired"], used: ["off", "ring", "Used"], ended: ["off", "ring", "Ended"],
  former: ["off", "ring", "Former"], superseded: ["off", "ring", "Superseded"], disabled: ["off", "ring", "Disabled"],
});

/** @param {{state: string, text?: string}} p */
export function Chip({ state, text }) {
  const [tone, icon, word] = STATES[state] || ["off", "dot", state ? state[0].toUpperCase() + state.slice(1).replace(/_/g, " ") : "Unknown"];
  return html`<span class=${"chip " + tone}><${Icon} name=${icon} />${text || word}</span>`;
}

/** @param {{at: string | null | undefined, full?: boolean, none?: string}} p */
export function Time({ at, full, none }) {
  if (!at) return html`<span class="muted">${none || "never"}</span>`;
  const t = new Date(at);
  if (isNaN(t.getTime())) return html`<span>${at}</span>`;
  return html`<time datetime=${at} title=${clock(t, true)}>${clock(t, full)} <span class="muted">(${distance(t)})</span></time>`;
}

/** @param {{text: string, short?: number}} p */
export const Mono = ({ text, short }) =>
  html`<span class="mono" title=${short && text && text.length > short ? text : undefined}>${
    short && text && text.length > short ? text.slice(0, short) + "…" : text}</span>`;

/** @param {{to: string, query?: any, children?: any, class?: string}} p */
export const Link = ({ to, query, children, ...more }) => html`<a href=${href(to, query)} ...${more}>${children}</a>`;

/** Says something to who cannot see that it changed. @param {string} text */
export function announce(text) {
  const box = document.getElementById("said");
  if (!box) return;
  box.textContent = "";
  setTimeout(() => { box.textContent = text; }, 30);
}

/** @param {{text: string, label?: string}} p */
export function Copy({ text, label }) {
  const [done, set] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch (e) {
      const area = document.createElement("textarea"); // without TLS there is no clipboard
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    set(true);
    announce("Copied");
    setTimeout(() => set(false), 2000);
  };
  return html`<button type="button" onClick=${copy}>${done ? "Copied" : label || "Copy"}</button>`;
}

/** Gives the browser a file. @param {Blob} blob @param {string} name */
export function saveFile(blob, name) {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(blob);
  a.download = name;
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(a.href), 60000);
}

/** The name that the server gave a file. @param {Response} r @param {string} otherwise */
export const fileName = (r, otherwise) =>
  (/filename="?([^";]+)"?/.exec(r.headers.get("Content-Disposition") || "") || [])[1] || otherwise;

// ---- news, good and bad ----

/** Why it did not work, what to do, and the code to ask about.
 * @param {{error: import("./api.js").Problem | null, onRetry?: () => void}} p */
export function Trouble({ error, onRetry }) {
  const box = useRef((null));
  useEffect(() => { if (error && box.current && box.current.closest("dialog,form")) box.current.focus(); }, [error]);
  if (!error) return null;
  return html`<div class="note bad" role="alert" tabindex="-1" ref=${box}>
    <p><${Icon} name="cross" /><strong>${error.title || "It did not work"}</strong></p>
    ${error.detail && error.detail !== error.title && html`<p>${error.detail}</p>`}
    ${error.errors.length > 0 && html`<ul>${error.errors.map((e) => html`<li>${
      e.pointer ? html`<b>${e.pointer.replace(/^[/?]/, "")}</b>: ` : ""}${e.detail}</li>`)}</ul>`}
    ${outcome(error)}
    ${error.fix && html`<p>What to do: ${error.fix}</p>`}
    <p class="muted">${[error.code, error.status || "", error.id].filter(Boolean).join(" · ")}
      ${error.code && html` <${Link} to="/explain" query=${{ what: error.code }}>Explain<//>`}</p>
    ${onRetry && html`<p><button type="button" onClick=${onRetry}>Try again</button></p>`}
  </div>`;
}

/** Live data in its four states: none yet, none because of a fault, old because of a fault, good.
 * @param {{live: ReturnType<typeof useLive>, children: any}} p  children: a function of the data */
export function Live({ live, children }) {
  if (!live.data && live.error) return html`<${Trouble} error=${live.error} onRetry=${live.reload} />`;
  if (!live.data) return html`<p class="muted loading" role="status">Loading…</p>`;
  return html`${live.error && html`<${Stale} live=${live} />`}${children(live.data)}`;
}

/** @param {{live: any}} p */
export const Stale = ({ live }) => html`<p class="note warn" role="status"><${Icon} name="triangle" />
  From ${clock(new Date(live.since))}${live.error.unreachable ? ", reconnecting" : ": " + (live.error.title || "the server refused")}.</p>`;

/** @param {{title: string, children?: any}} p */
export const Empty = ({ title, children }) => html`<div class="empty"><p><strong>${title}</strong></p>${children}</div>`;

// ---- page ----

/** @param {{title: string, up?: [string, string][], actions?: any, children?: any, word?: any}} p */
export function Page({ title, up = [], actions, children, word }) {
  useEffect(() => { document.title = title + " · scepd"; }, [title]);
  return html`
    ${up.length > 0 && html`<nav aria-label="Where this is" class="crumbs">${up.map(([to, text]) => html`<${Link} to=${to}>${text}<//> › `)}</nav>`}
    <div class="head"><h1 tabindex="-1" id="title">${title}</h1>${word}<div class="actions">${actions}</div></div>
    ${children}`;
}

/** What is known about one thing. @param {{rows: [string, any][]}} p */
export const Facts = ({ rows }) => html`<dl class="facts">${rows.filter(([, v]) => v !== "" && v !== null && v !== undefined && v !== false).map(
  ([k, v]) => html`<div><dt>${k}</dt><dd>${v === true ? "yes" : v}</dd></div>`)}</dl>`;

/** @param {{title: string, actions?: any, children?: any, id?: string}} p */
export function Section({ title, actions, children }) {
  const id = useId();
  return html`<section aria-labelledby=${id}><div class="head"><h2 id=${id}>${title}</h2><div class="actions">${actions}</div></div>${children}</section>`;
}

// ---- tables ----

/** @typedef {{head: string, cell: (item: any) => any, wide?: boolean}} Column */

/** The first column names the row; on a narrow screen each row is a card.
 * @param {{caption: string, columns: Column[], rows: any[], idOf?: (r: any) => string, picked?: Set<string>, onPick?: (id?: string) => void,
 *   at?: string, canPick?: (r: any) => boolean}} p */
export function Table({ caption, columns, rows, idOf = (r) => r.id, picked, onPick, at }) {
  return html`<table role="table"><caption class="hidden">${caption}</caption>
    <thead role="rowgroup"><tr role="row">${onPick && html`<th scope="col" role="columnheader"><label><input type="checkbox" checked=${rows.every((r) => picked && picked.has(idOf(r)))} onChange=${() => onPick()} /><span class="hidden">Select all shown</span></label></th>`}${columns.map((c) => html`<th
      scope="col" role="columnheader">${c.head || html`<span class="hidden">Do</span>`}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map((r) => html`<tr role="row" key=${idOf(r)} class=${at === idOf(r) ? "at" : undefined} aria-current=${at === idOf(r) ? "true" : undefined}>
      ${onPick && html`<td role="cell" class="pick"><label><input type="checkbox" checked=${picked && picked.has(idOf(r))} onChange=${() => onPick(idOf(r))} />
        <span class="hidden">Select ${r.name || idOf(r)}</span></label></td>`}
      ${columns.map((c, i) => (i === 0 ? html`<th scope="row" role="rowheader">${c.cell(r)}</th>` : html`<td role="cell" data-head=${c.head || undefined}>${c.cell(r)}</td>`))}</tr>`)}</tbody></table>`;
}

/** One page of a list, live: what is shown stays where it is, what is new waits to be asked for.  Which page, the address says, by `cursorName`.
 * @param {{path: string, query?: Record<string, any>, caption: string, columns: Column[], idOf?: (r: any) => string, empty: any, at?: string,
 *   bulk?: (clear: () => void, rows: any[], more: boolean) => any, onRows?: (rows: any[]) => void, cursorName?: string, noun?: string}} p */
export function List({ path, query = {}, caption, columns, idOf = (r) => r.id, empty, bulk, onRows, at, cursorName = "cursor", noun = "new" }) {
  const place = route(), cursor = place.query[cursorName], page = (c) => href(place.path, { ...place.query, new: "", [cursorName]: c });
  const asked = queryText({ ...query, cursor }).replace(/(%20)+(&|$)/g, "$2"), here = path + "?" + asked; // a blank that one has just typed looks for nothing
  const live = useLive(asked ? here : path);
  const [shown, setShown] = useState({ here: "", ids: ([]) });
  const [picked, setPicked] = useState(new Set());
  const items = live.data ? live.data.items : null;
  const changedAt = useRef(0); // what we have made ourselves is shown at once
  useEffect(() => listen(CHANGED, () => { changedAt.current = Date.now(); }), []);
  useEffect(() => {
    if (items && (shown.here !== here || shown.ids.length === 0 || Date.now() - changedAt.current < 10000)) {
      setShown({ here, ids: items.map(idOf) });
      if (shown.here !== here) setPicked(new Set());
    }
  }, [items, here]);
  const known = shown.here === here ? shown.ids : (items || []).map(idOf);
  const byId = new Map((items || []).map((i) => [idOf(i), i]));
  const rows = known.filter((id) => byId.has(id)).map((id) => byId.get(id));
  const fresh = items ? items.filter((i) => !known.includes(idOf(i))).length : 0;
  useLayoutEffect(() => { if (onRows) onRows(rows); }, [items, shown]);
  const pick = (id) => {
    const next = new Set(id ? picked : chosen.length < rows.length ? known : []);
    if (id && !next.delete(id)) next.add(id);
    setPicked(next);
  };
  const chosen = [...picked].filter((id) => byId.has(id));
  return html`<${Live} live=${live}>${() => html`
    <div class="listbar" role="status">${fresh > 0 && html`<button type="button" onClick=${() => setShown({ here, ids: items.map(idOf) })}>${
      fresh} ${noun}, show</button>`}</div>
    ${rows.length === 0 && fresh === 0 ? empty : html`<${Table} caption=${caption} columns=${columns} rows=${rows} idOf=${idOf} at=${at}
      picked=${picked} onPick=${bulk ? pick : undefined} />`}
    ${bulk && chosen.length > 0 && html`<div class="bulk"><span>${chosen.length} selected</span>${
      bulk(() => setPicked(new Set()), chosen.map((id) => byId.get(id)), !!(cursor || live.data.next))}</div>`}
    <p class="pager">${cursor && html`<a href=${page("")}>First page</a>`}
      <span class="muted">${rows.length} shown</span>
      ${live.data.next && html`<a href=${page(live.data.next)}>Next page</a>`}</p>`}<//>`;
}

/** Chips that filter: links, so that a filtered list is an address. @param {{label: string, name: string, path: string, query: any, choices: [string, string, any?][]}} p */
export const FilterChips = ({ label, name, path, query, choices }) => html`<nav class="chips" aria-label=${label}>${choices.map(([value, text, count]) => html`<a
  href=${href(path, { ...query, [name]: value, cursor: "" })} aria-current=${(query[name] || "") === value ? "true" : undefined}>${text}${
  count !== undefined && count !== null ? html` <b>${count.toLocaleString()}</b>` : ""}</a>`)}</nav>`;

/** A search field of a list: the address follows what is typed. @param {{label: string, path: string, query: any, name?: string}} p */
export function FilterText({ label, path, query, name = "q" }) {
  const timer = useRef(0);
  const id = useId();
  const typed = (e) => {
    clearTimeout(timer.current);
    const value = e.target.value;
    timer.current = (setTimeout(() => go(path, { ...query, [name]: value.trimStart(), cursor: "" }, true), 250));
  };
  return html`<label for=${id}>${label} <input id=${id} type="search" autocomplete="off" value=${query[name] || ""} onInput=${typed} /></label>`;
}

// ---- forms ----

/** @param {{label: string, help?: string, error?: string, children: (props: any) => any}} p */
export function Field({ label, help, error, children }) {
  const id = useId();
  const said = [help && id + "h", error && id + "e"].filter(Boolean).join(" ");
  return html`<div class="field"><label for=${id}>${label}</label>${
    children({ id, "aria-describedby": said || undefined, "aria-invalid": error ? "true" : undefined })}
    ${help && html`<p class="help" id=${id + "h"}>${help}</p>`}${error && html`<p class="wrong" id=${id + "e"}><${Icon} name="cross" />${error}</p>`}</div>`;
}

/** The fault of one member of a form. @param {any} error @param {string} name */
export const faultOf = (error, name) => {
  const e = error && error.errors.find((x) => x.pointer === "/" + name);
  return e ? e.detail : "";
};

/** What a form holds, how a member is put there, and what the input of one takes. @param {() => any} start @returns {[any, (k: string) => (v: any) => void, (e: any, k: string) => any]} */
export function useForm(start) {
  const [f, set] = useState(start), put = (k) => (v) => set((o) => ({ ...o, [k]: v }));
  return [f, put, (e, k) => ({ value: String(f[k] ?? ""), onText: put(k), error: faultOf(e, k) })];
}

/** @param {any} p label, value, onText, help, error, and what an input takes */
export const Text = ({ label, value, onText, help, error, lines, ...more }) => html`<${Field} label=${label} help=${help} error=${error}>${(a) =>
  lines ? html`<textarea ...${a} ...${more} rows=${lines} spellcheck="false" value=${value} onInput=${(e) => onText(e.target.value)}></textarea>`
    : html`<input type="text" autocomplete="off" spellcheck="false" ...${a} ...${more} value=${value} onInput=${(e) => onText(e.target.value)} />`}<//>`;

/** @param {any} p label, value, onText, choices: [value, text][] */
export const Choice = ({ label, value, onText, choices, help, error, ...more }) => html`<${Field} label=${label} help=${help} error=${error}>${(a) => html`<select
  ...${a} ...${more} value=${value} onChange=${(e) => onText(e.target.value)}>${choices.map(([v, t]) =>
    html`<option value=${v} selected=${v === value}>${t}</option>`)}</select>`}<//>`;

export const Tick = ({ label, value, onTick }) => html`<label class="tickbox"><input type="checkbox" checked=${value}
  onChange=${(e) => onTick(e.target.checked)} /> ${label}</label>`;

/** A modal dialog; gone means `onClose` was called. @param {{title: string, onClose: () => void, children?: any}} p */
export function Dialog({ title, onClose, children }) {
  const box = useRef((null));
  const id = useId();
  useLayoutEffect(() => {
    const d = box.current;
    d.showModal();
    return () => {
      d.close(); // the focus goes back to where it came from, if that is still there
      const at = document.activeElement;
      if (at === document.body || d.contains(at)) document.getElementById("title")?.focus();
    };
  }, []);
  return html`<dialog ref=${box} aria-labelledby=${id} onCancel=${(e) => { e.preventDefault(); onClose(); }}>
    <h2 id=${id}>${title}</h2>${children}</dialog>`;
}

const EFFECTS = { devices: "Devices that lost a policy", certificates: "Certificates revoked", requests: "Requests cancelled", challenges: "Challenges void" };

/** What went with a change, and what should be read about it. @param {any} answer */
export const outcome = ({ effects = {}, warnings = [] }) => [...Object.keys(EFFECTS).filter((k) => effects[k]).map((k) => html`<p>${EFFECTS[k]}: ${effects[k]}</p>`),
  ...warnings.map((t) => html`<p class="note warn">${t}</p>`)];

/** Tells that of every change; a challenge and what is done to many have dialogs of their own that do. */
export function Outcome() {
  const [lines, tell] = useState(([])), box = useRef((null)), end = () => tell([]);
  useEffect(() => listen(CHANGED, (e) => {
    const r = e.detail || {};
    if (!r.secret && !r.matched) tell((o) => [...o, ...outcome(r)]);
  }), []);
  useLayoutEffect(() => { if (lines.length) box.current.focus(); }, [lines]);
  return lines.length > 0 && html`<${Dialog} title="It is done" onClose=${end}><div role="alert">${lines}</div>
    <div class="buttons"><button type="button" class="main" ref=${box} onClick=${end}>Done</button></div><//>`;
}

/** Asks before something is lost: object, effect and time stand in it, Cancel has the focus, the verb is on the button; many need their number typed.
 * @param {{title: string, verb: string, action: () => Promise<any>, onClose: () => void, expect?: string, expectWhat?: string, done?: string | (() => string), children?: any, ready?: boolean}} p */
export function Confirm({ title, verb, action, onClose, expect, expectWhat = "number", done, children, ready = true }) {
  const [typed, setTyped] = useState("");
  const { busy, error, run } = useAction(action);
  const cancel = useRef((null));
  useLayoutEffect(() => { cancel.current.focus(); }, []);
  const submit = async (e) => {
    e.preventDefault();
    if (await run()) {
      announce(typeof done === "function" ? done() : done || verb + ": done");
      if (cancel.current) onClose(); // it may be closed, and another one open
    }
  };
  const may = ready && (!expect || typed.trim() === expect);
  return html`<${Dialog} title=${title} onClose=${onClose}><form onSubmit=${submit}>
    <${Trouble} error=${error} />${children}
    ${expect && html`<${Text} label=${`To go on, type the ${expectWhat}: ${expect}`} value=${typed} onText=${setTyped} />`}
    <div class="buttons"><button type="button" ref=${cancel} onClick=${onClose}>Cancel</button>
      <button type="submit" class="danger" disabled=${!may || busy}>${busy ? "…" : verb}</button></div></form><//>`;
}

/** A form in a dialog. @param {{title: string, verb: string, action: () => Promise<any>, onClose: () => void, onDone?: (r: any) => void, children: (error: any) => any}} p */
export function FormDialog({ title, verb, action, onClose, onDone, children }) {
  const { busy, error, run } = useAction(action);
  const submit = async (e) => {
    e.preventDefault();
    const r = await run();
    if (r) {
      announce(verb + ": done");
      if (onDone) onDone(r); else onClose();
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}><form onSubmit=${submit} novalidate>
    <${Trouble} error=${error} />${children(error)}
    <div class="buttons"><button type="button" onClick=${onClose}>Cancel</button>
      <button type="submit" class="main" disabled=${busy}>${busy ? "…" : verb}</button></div></form><//>`;
}
